# Tasks that for a while leave the board no byte of its heap, and go on for long after that.
import time

FULL_S = 4
LONG_S = 40


def handle(task):
    hoard = []
    size = 1024
    while size >= 16:
        try:
            hoard.append(bytearray(size))
        except MemoryError:
            size //= 2
    print("the heap is full")
    time.sleep(FULL_S)
    hoard = None
    time.sleep(LONG_S)
    return task
