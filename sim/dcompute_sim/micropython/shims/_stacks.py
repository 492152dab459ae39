# mypy: ignore-errors
# What threads cost a chip: each has a stack, in memory that is not MicroPython's and soon used up.
#
# Their number is limited so, not how deep calls go in one. Rejected: the unix port's own `stack_size`, fitted
# to a chip's 326 bytes a call (micropython/micropython#4840). The port takes the margin for recovering off
# the size only after the new thread has begun, which may by then have read it: it dies where it should fail.
import _kernel

_ROOM_BYTES = 100000  # what Wi-Fi leaves of the internal RAM, about
_LEAST_BYTES = 4096
_DEFAULT_BYTES = 5120
_OF_FREERTOS_BYTES = 512  # a task's own
_stack_bytes = 0
other_bytes = 0  # of what else is there


def fits(size):
    return _kernel.stacks_bytes + other_bytes + size <= _ROOM_BYTES


def stack_size(size=0):
    global _stack_bytes
    before, _stack_bytes = _stack_bytes, size
    return before


def start_new_thread(function, args, kwargs=None):
    if not isinstance(args, (tuple, list)):
        raise TypeError("object isn't a tuple or list")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise TypeError("expecting a dict for keyword args")
    size = max(_stack_bytes, _LEAST_BYTES) if _stack_bytes else _DEFAULT_BYTES
    size += _OF_FREERTOS_BYTES
    if not fits(size):
        raise OSError("can't create thread")
    _kernel.stacks_bytes += size
    return _kernel.start_new_thread(function, args, kwargs, size)
