# mypy: ignore-errors
# Looks at threads other than the main one when they wait, for what is otherwise than on a chip.
#
# How deep they are: see _stacks. How much they have computed since they last waited: here that takes no time
# (virtual) or holds up the others (real), for the unix port counts branches, and steps aside, in its main
# thread only. Seen is what they took of the heap meanwhile: nothing else counts in a thread.
import _board
import _stacks
import micropython

_MUCH_BYTES = 65536 * _board.WIDE  # on a chip 50 ms, about
_total = getattr(micropython, "mem_total", int)
_before = 0


def begins(stack_bytes):
    # 0: one of the emulator's own.
    if stack_bytes:
        _stacks.limit_calls(stack_bytes)
    runs()


def runs(_=None):
    global _before
    try:
        _before = _total()
    except MemoryError:  # it has more than 30 bits by now
        pass


def waits(_=None):
    _stacks.look()
    try:
        if _total() - _before > _MUCH_BYTES:
            _board.simpler("_thread.start_new_thread")
    except MemoryError:
        pass
