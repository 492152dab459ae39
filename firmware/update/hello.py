# What the master's question, what runs here, is answered with.

import gc
import os
import time

from micropython import const

from update.files import digest_of
from update.mac import is_proven, key_of
from update.say import say

_HEAD_BYTES = const(37)
_PATIENCE_MS = const(300000)  # an offer has to name the challenge while that is not twice as old


def begin(slot, payload):
    # Nothing is said to who does not have this board's key.
    key = key_of(slot)
    if not key or len(payload) != _HEAD_BYTES or not is_proven(key, payload):
        return
    if slot.nonce is None or time.ticks_diff(time.ticks_ms(), slot.nonce_ms) > _PATIENCE_MS:
        slot.nonce_ms = time.ticks_ms()  # first: whoever finds a challenge looks how old it is
        slot.nonce = os.urandom(16)  # unforeseeable with the Wi-Fi up, which feeds the chip's generator
    launcher = slot.launcher
    flags = (1 if launcher.trial else 0) | (2 if slot.is_under_way() else 0)
    body = bytes(payload[5:21]) + slot.nonce + bytes((flags,)) + launcher.release.to_bytes(4, "big")
    body += digest_of(launcher.folder(launcher.current) + "version.json") + _find(launcher.root)
    body += slot.target if flags & 2 else bytes(16)
    gc.collect()
    say(slot, key, b"DCU2H", body + gc.mem_free().to_bytes(4, "big"))


def _find(root):
    # The digest of the version that was rolled back last.
    from binascii import unhexlify

    try:
        with open(root + "failed") as file:
            return unhexlify(file.read(32))
    except (OSError, ValueError):  # none; or what a launcher of before wrote
        return bytes(16)
