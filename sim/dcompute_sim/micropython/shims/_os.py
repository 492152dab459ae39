# mypy: ignore-errors
# `os` of a board: files only; no environment and no shell.
import sys as _unix

import _board
from uos import chdir, getcwd, ilistdir, listdir, mkdir, remove, rename, rmdir, stat, statvfs, unlink
from vfs import mount, umount

sep = "/"

__getattr__ = _board.missing("os")


def urandom(n):
    return _board.kernel.urandom(n)


def uname():
    release = ".".join(str(part) for part in _unix.implementation.version[:3])
    return ("esp32", "esp32", release, "v%s (emulated)" % release, "Generic ESP32 module with ESP32")


def sync():
    pass
