# mypy: ignore-errors
# ESP32 `micropython` in virtual time: where branches are counted, the port's own queue is what counts them.
from micropython import *  # noqa: F403

import _kernel

if _kernel.timed:

    def schedule(function, arg):
        _kernel.timers_used = True
        if not _kernel.call_in_main(function, (arg,)):
            raise RuntimeError("schedule queue full")
