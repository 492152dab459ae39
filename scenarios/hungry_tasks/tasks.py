# Tasks that for a while leave the board no byte of its heap, or too few, and go on for long after that.
import time

import machine

FULL_S = 4
LONG_S = 40
LEFT_BYTES = 128, 16, 96  # of the largest block: a task may be read, and then find no room


def handle(task):
    hoard = []
    left_bytes = LEFT_BYTES[machine.unique_id()[-1] % 3]
    size = 1024
    while size >= left_bytes:
        try:
            hoard.append(bytearray(size))
        except MemoryError:
            size //= 2
    print("the heap is full")
    time.sleep(FULL_S)
    hoard = None
    time.sleep(LONG_S)
    return task
