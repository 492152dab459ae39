# mypy: ignore-errors
# `gc` of a board: what the emulator's own modules take of the heap is in flash there, and does not count.
#
# Bytes are the chip's: where words have 64 bits the heap is twice as large, as the objects in it are.
import gc as _unix
from gc import disable, enable, isenabled

import _board

__getattr__ = _board.missing("gc")


def collect():  # the port's tells nobody how much that was
    _unix.collect()


def mem_alloc():
    return (_unix.mem_alloc() - _board.heap_taken) // _board.WIDE


if _board.WIDE == 1:
    from gc import mem_free, threshold
else:
    # Without a branch, for those of the main thread are counted, and the port's own have none.
    def mem_free():
        return _unix.mem_free() // 2

    def threshold(*size):
        return _threshold[len(size)](*size)

    _threshold = (lambda: _unix.threshold() // 2, lambda size: _unix.threshold(size * 2))
