# mypy: ignore-errors
# `sys` of a board: `platform` is what tells firmware that it runs on an ESP32.
import sys as _unix

platform = "esp32"
modules = _unix.modules
path = _unix.path
implementation = _unix.implementation
version = _unix.version
version_info = _unix.version_info
byteorder = _unix.byteorder
maxsize = (1 << 31) - 1
stdin = _unix.stdin
stdout = _unix.stdout
stderr = _unix.stderr
exit = _unix.exit
print_exception = _unix.print_exception
argv = []


def __getattr__(name):
    raise AttributeError("the emulator's sys has no %r (sim/micropython/shims/_sys.py)" % name)
