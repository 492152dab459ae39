# mypy: ignore-errors
# `sys` of a board: `platform` is what tells firmware that it runs on an ESP32.
import sys as _unix
from collections import namedtuple

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
stdin = _unix.stdin
stdout = stderr = _board.kernel.stdout
exit = _unix.exit
argv = []


__getattr__ = _board.missing("_sys")


def print_exception(error, file=stdout):
    _unix.print_exception(error, file)
