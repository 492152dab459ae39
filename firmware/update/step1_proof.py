# The first step of an update: whether an offer is the master's, and for this moment.
#
# In this order: length; the challenge is this board's and no more than ten minutes old; the tag. Until then
# nothing changes and nothing is answered. Then the challenge is used up, whatever comes of the offer.

import hashlib

from micropython import const

from update.mac import is_proven, key_of, mac

_HEAD_BYTES = const(42 + 16)


def begin(slot, payload):
    # What the manifest is hidden with, what proves all that is said under this offer, and which offer it is;
    # None if it is not to be taken.
    offered = hashlib.sha256(payload).digest()
    if slot.long and offered == slot.offered:
        slot.quiet = False  # the master has missed what was said last
        return None
    key = key_of(slot)
    if not key or len(payload) < _HEAD_BYTES or slot.nonce is None or payload[21:37] != slot.nonce:
        return None
    if not is_proven(key, payload) or slot.launcher.trial:  # on trial the fallback is needed still
        return None
    slot.nonce = None
    fields = payload[5:37]
    return mac(key, b"DCU2E", fields), mac(key, b"DCU2K", fields, payload[-16:]), offered
