# mypy: ignore-errors
# ESP32 `micropython`: without the figures of what was allocated, which its builds do not keep. Where branches
# are counted (virtual time), the port's own queue is what counts them.
from micropython import (
    RingIO,
    const,
    heap_lock,
    heap_unlock,
    kbd_intr,
    mem_info,
    opt_level,
    qstr_info,
    schedule,
    stack_use,
)

import _board
import _kernel

__getattr__ = _board.missing("micropython")


def alloc_emergency_exception_buf(size):
    pass


if getattr(_kernel, "timed", False):

    def schedule(function, arg):
        _kernel.timers_used = True
        if not _kernel.call_in_main(function, (arg,)):
            raise RuntimeError("schedule queue full")
