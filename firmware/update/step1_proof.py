# The first step of an update: whether an offer is the master's, and for this connection.

import hashlib
import os
from binascii import hexlify

from update import Ended


def accept(slot, payload):
    # Keep the manifest of an offer that is proven, as the file `offer`; it will be the slot's version.json.
    #
    # The payload is `{"offer":` manifest `,"sig":"` 64 digits `"}` to the byte: so the manifest is checked
    # and kept where it lies, and takes no more heap.
    signed = bytes(payload[-74:-66]) == b',"sig":"'
    manifest = payload[9 : -74 if signed else -1]
    reason = _doubt(slot, manifest, bytes(payload[-66:-2]) if signed else None)
    if reason:
        raise Ended("refused", reason)
    folder = slot.folder
    try:
        os.mkdir(folder[:-1])
    except OSError:  # it is there
        pass
    with open(folder + "offer", "wb") as file:
        file.write(manifest)
    return "step2_offer"


def _doubt(slot, manifest, signature):
    # Why this manifest is not to be trusted; "" if it is.
    if not slot.key:
        return "config.py has no UPDATE_KEY" if slot.key is None else ""
    if signature is None:
        return "it is not signed"
    proof = hexlify(_hmac(slot.key.encode(), slot.link.core.inc + "\n", manifest))
    differs = 0
    for one, other in zip(proof, signature):  # noqa: B905  in the same time, wherever they differ
        differs |= one != other
    return "the signature is not that of this board's UPDATE_KEY for this connection" if differs else ""


def _hmac(key, *texts):
    # HMAC-SHA256, which MicroPython has not.
    if len(key) > 64:
        key = hashlib.sha256(key).digest()
    key = key + bytes(64 - len(key))
    inner = hashlib.sha256(bytes([byte ^ 0x36 for byte in key]))
    for text in texts:
        inner.update(text)
    outer = hashlib.sha256(bytes([byte ^ 0x5C for byte in key]))
    outer.update(inner.digest())
    return outer.digest()
