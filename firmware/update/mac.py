# What proves the messages of an update (docs/protocol.md, "Updates over the air").
#
# A tag is over every byte before it; what is under a key names the challenges of both sides. So nothing can
# be taken for another message, and nothing recorded is worth anything later.

import hashlib


def key_of(slot):
    # What proves the master, written over the serial line by a deploy; None: no update is taken.
    try:
        with open(slot.launcher.root + "update.key", "rb") as file:
            key = file.read(33)
    except OSError:
        return None
    return key if len(key) == 32 else None


def mac(key, *parts):
    # HMAC-SHA256, which MicroPython has not, under a key of 32 bytes.
    block = bytearray(64)
    for at in range(64):
        block[at] = (key[at] if at < 32 else 0) ^ 0x36
    inner = hashlib.sha256(block)
    for part in parts:
        inner.update(part)
    for at in range(64):
        block[at] ^= 0x6A  # 0x36 ^ 0x5C
    outer = hashlib.sha256(block)
    outer.update(inner.digest())
    return outer.digest()


def is_proven(key, message):
    # Whether a message ends in its tag; in the same time, wherever they differ.
    end = len(message) - 16
    data = mac(key, message[:end])
    differs = 0
    for at in range(16):
        differs |= data[at] ^ message[end + at]
    return not differs
