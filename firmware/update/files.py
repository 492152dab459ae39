# What the steps of an update do with files.

import hashlib
import os
from binascii import hexlify

from micropython import const

_BLOCK_BYTES = const(512)
KEPT = ("version.json", "offer", "part")  # names of a slot that are no files of a version


def is_right(path, digest):
    # Whether a file has this digest, in hex.
    return hexlify(digest_of(path)).decode() == digest


def digest_of(path):
    # The half of its sha256 that a manifest knows a file by, and the master a version by its manifest's.
    block = bytearray(_BLOCK_BYTES)
    state = hashlib.sha256()
    with open(path, "rb") as file:
        while True:
            count = file.readinto(block)
            if not count:
                break
            state.update(memoryview(block)[:count])
    return state.digest()[:16]


def size_of(path):
    # -1 if there is none.
    try:
        return os.stat(path)[6]
    except OSError:
        return -1


def remove(path):
    try:
        os.remove(path)
    except OSError:
        pass
