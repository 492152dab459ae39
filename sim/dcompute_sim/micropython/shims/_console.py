# mypy: ignore-errors
# A console as a board has it, and the module `micropython` with it: waiting for input lets the other threads
# run, `sys.stdout.buffer` writes bytes as they are, `kbd_intr` says whether Ctrl-C is a byte like any other.
import builtins
import io
import sys as _unix

import _board
from _kernel import wait

from micropython import RingIO, const, heap_lock, heap_unlock, mem_info
from micropython import opt_level, qstr_info, schedule, stack_use

__getattr__ = _board.missing("micropython")


def alloc_emergency_exception_buf(size):
    pass


def kbd_intr(char):
    _board.report({"ev": "kbd_intr", "char": char})


class _In(io.IOBase):
    def __init__(self, stream):
        self._s = stream  # what select.poll waits for

    def read(self, n=-1):
        return wait(self._s.read, n)

    def readinto(self, buffer, n=-1):
        return wait(self._s.readinto, buffer) if n < 0 else wait(self._s.readinto, buffer, n)

    def readline(self):
        return wait(self._s.readline)

    def ioctl(self, request, argument):
        return -1


class _Out(io.IOBase):
    def __init__(self, stream):
        self._s = stream

    def write(self, data, n=-1):
        return self._s.write(data) if n < 0 else self._s.write(data, n)

    def flush(self):
        pass


class _RawOut(_Out):
    # The line must not put a carriage return before these newlines.
    def write(self, data, n=-1):
        _board.report({"ev": "raw", "on": True})
        try:
            return super().write(data, n)
        finally:
            _board.report({"ev": "raw", "on": False})


stdin = _In(_unix._line)
stdin.buffer = _In(_unix._line.buffer)
stdout = _Out(_unix.stdout)
stdout.buffer = _RawOut(_unix.stdout.buffer)


def _input(prompt=""):
    print(prompt, end="")
    line = ""
    while True:
        char = stdin.read(1)
        if not char:
            raise EOFError
        if char in "\r\n":
            print()
            return line
        if char in "\x08\x7f":
            if line:
                line = line[:-1]
                print("\x08 \x08", end="")
        else:
            line += char
            print(char, end="")


builtins.input = _input
