# mypy: ignore-errors
# `sys` of a board: `platform` is what tells firmware that it runs on an ESP32.
import sys as _unix
from collections import namedtuple
from io import IOBase

import _board

platform = "esp32"
modules = _unix.modules
path = _unix.path
implementation = namedtuple("implementation", ("name", "version", "_machine", "_mpy"))(
    "micropython", _unix.implementation.version, "Generic ESP32 module with ESP32", _unix.implementation._mpy
)
version = _unix.version
version_info = _unix.version_info
byteorder = _unix.byteorder
maxsize = (1 << 31) - 1


class _Stdin(IOBase):
    # The serial line, on which nobody types (a board with a console has another): what is read never comes.
    def ioctl(self, request, argument):
        return 0 if request == 3 else -1  # MP_STREAM_POLL: nothing; all else, as a file number: it has none

    def read(self, *size):
        _board.kernel.idle_forever()

    readinto = readline = read


_line = _unix.stdin  # what the console's reads from
stdin = _Stdin()
stdin.buffer = stdin
stdout = stderr = _board.kernel.stdout
exit = _unix.exit
argv = []


__getattr__ = _board.missing("sys")


def print_exception(error, file=stdout):
    _unix.print_exception(error, file)
