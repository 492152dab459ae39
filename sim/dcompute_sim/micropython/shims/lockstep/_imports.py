# mypy: ignore-errors
# What importing takes on a chip: reading and compiling, in which no branch is counted.
#
# Found out afterwards, whenever the program waits and there are more modules than before. A `__import__` of
# ours would know at once, but it would lie on the firmware's heap, in a frame for each import within an
# import, just when that is fullest. A module that was unloaded and is imported again is not charged again.
import os
import sys

_MOST = 96
_known = [None] * _MOST  # names are no objects: to note one takes nothing of the heap
_count = 0
_compile_us = 0
_load_us = 0


def install(timing):
    global _compile_us, _load_us
    _compile_us = timing["compile_us"]
    _load_us = timing["load_us"]
    cost_us()


def cost_us():
    # Of the modules that are new.
    global _count
    us = 0
    for name in sys.modules:
        if name not in _known and _count < _MOST:
            _known[_count] = name
            _count += 1
            us += file_us(getattr(sys.modules[name], "__file__", ""))
    return us


def file_us(path):
    # To read and compile it, or to load it.
    try:
        # In steps of 16 bytes, so that no number needs more than 30 bits.
        return os.stat(path)[6] // 16 * (_load_us if path.endswith(".mpy") else _compile_us) // 64
    except OSError:
        return 0
