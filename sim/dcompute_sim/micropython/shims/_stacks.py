# mypy: ignore-errors
# Stacks of a chip: what threads take of the memory that is not MicroPython's, and how deep calls go in them.
#
# A call takes 328 bytes of a chip's stack (153 in 50 KB: micropython/micropython#4840), so a thread's 5 KB
# hold 12; the last KB is for recovering. Here a call takes other bytes, so the limit is so many calls' bytes
# here, and the emulator's modules, in C there, may go `_SHIM_CALLS` deeper. A thread that waits while it is
# that deep by itself is told of. To import source takes half as much again here: so where there is room for
# that on a chip there is more here, and the main thread has the port's own limit.
#
# The limit is written where MicroPython keeps it, behind the address of the stack's top, by the thread
# itself. Rejected: the unix port's own `stack_size`. It takes the margin for recovering off the size only
# after the new thread has begun, which may by then have read it (as micropython/micropython#15583 tells of a
# chip): one thread in ten had none, and died where it should fail.
import _thread as _unix
from sys import maxsize

import _board
import _kernel
import ffi
import uctypes
from micropython import stack_use

_ROOM_BYTES = 100000  # what Wi-Fi leaves of the internal RAM, about
_LEAST_BYTES = 4096
_DEFAULT_BYTES = 5120
_OF_FREERTOS_BYTES = 512  # a task's own
_MARGIN_BYTES = 1024
_CHIP_CALL_BYTES = 328
_SHIM_CALLS = 13
_IMPORTS_BYTES = 8192  # the stack that can do with source; and what that takes more here
_SHIM_CALLS_OF_A_WAIT = 7
_WORD_BYTES = 4 if maxsize >> 31 == 0 else 8
_CALL_BYTES = 294 if _WORD_BYTES == 4 else 438
_FIRST_BYTES = 130 * _WORD_BYTES  # until a thread's function runs
_UNIX_MARGIN_BYTES = 16384
_LIKELY_LIMIT = range(16384, 1 << 24)
_KEYS = 8
_NEAR_BYTES = 1 << 24
_stack_bytes = 0
other_bytes = 0  # of what else is there

_limit = bytearray(_WORD_BYTES)
_limit_is = uctypes.struct(uctypes.addressof(_limit), {"bytes": uctypes.UINT32 | 0}, uctypes.LITTLE_ENDIAN)
_libc = ffi.open(None)
_write = _libc.func("v", "memmove", "lPL")
_read = _libc.func("v", "memmove", "PlL")


def _find_state():
    # The function that gives the address of the running thread's state, None where it is not as in the builds
    # known. It is kept under a key of pthread's; the main thread's lies near what is built in. As signed
    # numbers addresses are small integers: to look takes nothing of the heap.
    try:
        specific = _libc.func("l", "pthread_getspecific", "I")
    except OSError:
        return None
    for key in range(_KEYS):
        if (specific(key) - id(len) + _NEAR_BYTES) % (2 * maxsize + 2) < 2 * _NEAR_BYTES:
            _read(_limit, specific(key) + _WORD_BYTES, _WORD_BYTES)
            return (lambda: specific(key)) if _limit_is.bytes in _LIKELY_LIMIT else None
    return None


_state = _find_state()


def _limit_of(stack_bytes):
    calls = (stack_bytes - _OF_FREERTOS_BYTES - _MARGIN_BYTES) // _CHIP_CALL_BYTES + _SHIM_CALLS
    imports_bytes = _IMPORTS_BYTES if stack_bytes > _IMPORTS_BYTES + _OF_FREERTOS_BYTES else 0
    return _FIRST_BYTES + calls * _CALL_BYTES + imports_bytes


def limit_calls(stack_bytes):
    # Of the thread that calls this, which has just begun.
    if _state:
        _set_limit(_limit_of(stack_bytes))


def _set_limit(size):
    _limit_is.bytes = size
    _write(_state() + _WORD_BYTES, _limit, _WORD_BYTES)


def look():
    # A thread is about to wait: is it deeper than on a chip?
    if _state:
        _read(_limit, _state() + _WORD_BYTES, _WORD_BYTES)
        if stack_use() > _limit_is.bytes - (_SHIM_CALLS - _SHIM_CALLS_OF_A_WAIT) * _CALL_BYTES:
            _limit_is.bytes += _UNIX_MARGIN_BYTES // 2  # to tell of it takes some, too
            _write(_state() + _WORD_BYTES, _limit, _WORD_BYTES)
            _board.simpler("_thread.stack_size")
            _set_limit(_limit_is.bytes - _UNIX_MARGIN_BYTES // 2)


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
    _unix.stack_size(_limit_of(size) + _UNIX_MARGIN_BYTES)
    _kernel.stacks_bytes += size
    return _kernel.start_new_thread(function, args, kwargs, size)
