# mypy: ignore-errors
# `os` of a board: files only; no environment and no shell.
import sys as _unix

import _board
from collections import namedtuple
from uos import mkdir, remove, rmdir, stat, unlink
from uos import chdir as _unix_chdir
from uos import getcwd as _unix_getcwd
from uos import ilistdir as _unix_ilistdir
from uos import listdir as _unix_listdir
from uos import rename as _unix_rename
from uos import statvfs as _unix_statvfs
from vfs import VfsPosix as _VfsPosix
from vfs import mount, umount

sep = "/"

__getattr__ = _board.missing("os")


def urandom(n):
    return _board.kernel.urandom(n)


_release = ".".join([str(part) for part in _unix.implementation.version[:3]])
_uname = namedtuple("uname", ("sysname", "nodename", "release", "version", "machine"))(
    "esp32", "esp32", _release, "v%s (emulated)" % _release, "Generic ESP32 module with ESP32"
)


def uname():
    return _uname


def sync():
    pass


_BLOCK = 4096
_FLASH_BYTES = 2 * 1024 * 1024  # of 4 MiB, as the port divides them (partitions-4MiBplus.csv, `vfs`)
_IN_ITS_FOLDER_BYTES = 128  # what is no larger littlefs keeps beside its name (esp32_partition.c's cache)


def statvfs(path):
    # Not of this machine's disk: what a program says of it has to be the same everywhere. A board with a
    # console has a flash that knows (_flash.py).
    if not _machine:
        return _unix_statvfs(path)
    stat(path)
    free = _FLASH_BYTES // _BLOCK - _blocks("/")
    free = free if free > 0 else 0
    return (_BLOCK, _BLOCK, _FLASH_BYTES // _BLOCK, free, free, 0, 0, 0, 0, 255)


def _blocks(folder):
    taken = 2  # littlefs has a pair of them for each folder
    for name, kind, _, size in ilistdir(folder):
        if kind == 0x4000:
            taken += _blocks(folder + name + "/")
        elif size > _IN_ITS_FOLDER_BYTES:
            taken += (size + _BLOCK - 1) // _BLOCK
    return taken


_root = ""  # of the flash, on the machine
_machine = None
_hidden = []  # names of what is mounted and flash on a board


def mount_root(paths, name_bytes):
    # The folder that we are in becomes "/". Other folders among `paths` are flash on a board: they are
    # mounted beside it. What opening a file takes of the heap hangs on how long a folder is called on this
    # machine: where that matters, all are made as long as the next multiple of `name_bytes`.
    global _machine, _root

    def named(path):
        return path + "/" * (-len(path) % name_bytes)

    _root = named(getcwd())
    _machine = _VfsPosix()
    umount("/")
    mount(_VfsPosix(_root), "/")
    _unix_chdir("/")
    for number, path in enumerate(paths):
        if path == "lib":
            paths[number] = "/lib"
        elif path[:1] == "/":
            name = ".%d" % number
            paths[number] = "/" + name
            mount(_VfsPosix(named(path)), paths[number])
            _hidden.append(name)


def chdir(path):
    # The port's VfsPosix looks for modules from its root on, wherever the program is: so the folder that it
    # is in stands in the path by name.
    before = getcwd()
    _unix_chdir(path)
    if _hidden:
        for number, folder in enumerate(_unix.path):
            if folder == (before if before != "/" else ""):
                now = getcwd()
                _unix.path[number] = now if now != "/" else ""
                break


def getcwd():
    return _unix_getcwd() or "/"


def ilistdir(path=""):
    # As littlefs has it: name, kind, no inode, size; by name, which here hangs on the machine's file system.
    for entry in sorted(_unix_ilistdir(path or ".")):
        if entry[0] not in _hidden:
            found = stat(path + "/" + entry[0] if path else entry[0])
            yield entry[0], found[0] & 0xF000, 0, found[6] if found[0] & 0x8000 else 0


def listdir(*path):
    return [name for name in sorted(_unix_listdir(*path)) if name not in _hidden]


def rename(old, new):
    # The port's VfsPosix puts both paths together in one place, where its root is not the machine's.
    if _machine:
        _machine.rename(_root + old if old[:1] == "/" else old, _root + new if new[:1] == "/" else new)
    else:
        _unix_rename(old, new)
