# When all files of an update are there: makes a version of them.

import os

from micropython import const
from update.files import remove, size_of

_BLOCK_BYTES = const(512)


def begin(slot):
    folder = slot.folder
    remove(folder + "part")
    if size_of(folder + "config.py") < 0:
        _copy(slot.launcher.folder(slot.launcher.current) + "config.py", folder + "config.py")
    os.rename(folder + "offer", folder + "version.json")
    return "step9_switch"


def _copy(source, target):
    block = bytearray(_BLOCK_BYTES)
    with open(source, "rb") as old, open(target, "wb") as new:
        while True:
            count = old.readinto(block)
            if not count:
                break
            new.write(memoryview(block)[:count])
