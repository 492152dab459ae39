# mypy: ignore-errors
# Makes the heap look as it does on a board: one free block, with nothing in it but what the firmware puts
# there. The emulator's modules, which a board has in flash, leave holes between them that a board's heap has
# not, and fragmentation is what small heaps fail of. So the holes are filled for good, all but the largest.
import gc
from sys import maxsize as _unix_maxsize

_keep = []
_trimmed = [None]
_TABLE_BYTES = 2048  # what is allocated at once when a table of names is full is more than this
_MOST_NAMES = 4000
_FRAMES = 100  # of calls: most of what the unix port allows


def fill_names(count):
    # The table of names (MicroPython's qstrs) is continued at twice the size when it is full. On a board
    # the modules' names are in flash; here they fill it so far that a few names of the firmware would have to
    # pay for a table of 640. So that one is made now, by `count` more names; None: returns how many it takes.
    gc.collect()
    gc.disable()
    taken = gc.mem_alloc()
    for number in range(_MOST_NAMES if count is None else count):
        hasattr(gc, "?%d" % number)  # looked up, it is a name
        if count is None:
            before = taken
            taken = gc.mem_alloc()
            if taken - before > _TABLE_BYTES:
                count = number + 1
                break
    gc.enable()
    gc.collect()
    return count


def one_block():
    # Returns what is left to the firmware.
    gc.collect()
    gc.disable()  # a failed allocation shall fail at once
    least, most = 0, gc.mem_free()
    while most - least > 64:
        size = (least + most) // 2
        if _fits(size):
            least = size
            gc.collect()
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


def trim_to(wanted_bytes):
    # What is free is what the board shall have, to the block: a bytearray takes one and those of its bytes.
    block_bytes = 16 if _unix_maxsize >> 31 == 0 else 32
    gc.collect()
    spare_bytes = gc.mem_free() - wanted_bytes
    if spare_bytes >= block_bytes:
        _trimmed[0] = bytearray(spare_bytes - block_bytes)
    gc.collect()


def clean_stack():
    # The collector keeps whatever a word of the stack might point to, and below the stack's end lie those of
    # all that ran before: imports, compilations, the search for holes. A board's stack begins without them.
    # Frames of two sizes are laid over them, for each leaves gaps.
    _cover(_FRAMES)
    _cover_otherwise(_FRAMES)


def _cover(more):
    if more:
        _cover(more - 1)


def _cover_otherwise(more, first=None, second=None, third=None):
    if more:
        _cover_otherwise(more - 1)


def _fits(size):
    try:
        bytearray(size)
        return True
    except MemoryError:
        return False
