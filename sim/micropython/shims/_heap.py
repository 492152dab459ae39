# mypy: ignore-errors
# Makes the heap look as it does on a board: one free block, with nothing in it but what the firmware puts
# there. The emulator's modules, which a board has in flash, leave holes between them that a board's heap has
# not, and fragmentation is what small heaps fail of. So the holes are filled for good, all but the largest.
import gc

_keep = []


def one_block():
    # Returns what is left to the firmware.
    gc.collect()
    gc.disable()  # a failed allocation shall fail at once
    least, most = 0, gc.mem_free()
    while most - least > 64:
        size = (least + most) // 2
        if _fits(size):
            least = size
        else:
            most = size
        gc.collect()
    largest = bytearray(least)
    for size in (4096, 1024, 256, 64, 1):
        try:
            while True:
                _keep.append(bytearray(size))
        except MemoryError:
            pass
    del largest
    gc.enable()
    gc.collect()
    return gc.mem_free()


def _fits(size):
    try:
        bytearray(size)
        return True
    except MemoryError:
        return False
