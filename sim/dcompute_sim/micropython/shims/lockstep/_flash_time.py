# mypy: ignore-errors
# What writing to flash takes on a chip, which meanwhile does nothing else: its code is in the same flash.
#
# A change of the file system is a commit, and after so many of them littlefs compacts; data takes the erasing
# of the blocks it goes to. Charged is what goes through `open` and `os`: what is opened by `io.open` is not.
import builtins

import _board
import _kernel
import _os
from _streams import FileStream

_BLOCK = 4096
_COMMITS = 15  # joltwallet/esp_littlefs#179: every 15th append takes longer
_erase_us = _commit_us = _compact_us = 0
_commits = 0
_unix_open = open


def install(timing):
    global _erase_us, _commit_us, _compact_us
    _erase_us = timing["erase_us"]
    _commit_us = timing["commit_us"]
    _compact_us = timing["compact_us"]
    builtins.open = _open
    _board.committed = committed
    for name in ("mkdir", "remove", "rename", "rmdir", "unlink"):
        setattr(_os, name, _commits_after(getattr(_os, name)))


def committed():
    global _commits
    _commits += 1
    _kernel.spend(_commit_us if _commits % _COMMITS else _compact_us)


def _commits_after(function):
    def call(*args):
        result = function(*args)
        committed()
        return result

    return call


def _open(path, mode="r", *args, **settings):
    file = _unix_open(path, mode, *args, **settings)
    return file if mode[0] == "r" and "+" not in mode else _File(file)


class _File(FileStream):
    # A file open for writing. What it does not change is the port's own.
    def __init__(self, file):
        self._file = file
        self._room = _BLOCK  # of the block that is written to

    def __getattr__(self, name):
        return getattr(self._file, name)

    def write(self, data, *size):
        written = self._file.write(data, *size)
        self._room -= written
        if self._room < 0:
            blocks = (_BLOCK - 1 - self._room) // _BLOCK
            self._room += blocks * _BLOCK
            _kernel.spend(blocks * _erase_us)
        return written

    def flush(self):
        self._file.flush()
        committed()

    def close(self):
        if self._file:
            self._file.close()
            self._file = None
            committed()

    def __iter__(self):
        return self._file
