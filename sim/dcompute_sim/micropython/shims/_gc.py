# mypy: ignore-errors
# `gc` of a board: what the emulator's own modules take of the heap is in flash there, and does not count.
import gc as _unix
from gc import collect, disable, enable, isenabled, mem_free, threshold

import _board

__getattr__ = _board.missing("_gc")


def mem_alloc():
    return _unix.mem_alloc() - _board.heap_taken
