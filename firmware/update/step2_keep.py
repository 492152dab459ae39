# The second step of an update: keeps the manifest of an offer that is proven.

import hashlib
import json
import os
import time


def begin(slot, payload, busy, session, offered):
    # As the file `offer`, which will be the slot's version.json; while another update is under way (`busy`)
    # only if this one is newer. Returns the next step.
    manifest = payload[42:-16]
    if busy and json.loads(manifest)["release"] <= slot.release:
        return None
    slot.version = ""
    slot.step = slot.long = None
    slot.release = slot.number = 0
    slot.moved_ms = time.ticks_ms()
    slot.session = session
    slot.offered = offered
    slot.target = hashlib.sha256(manifest).digest()[:16]
    slot.back = payload[37] & 1 and payload[38:42] == slot.launcher.release.to_bytes(4, "big")
    try:
        os.mkdir(slot.folder[:-1])
    except OSError:  # it is there
        pass
    with open(slot.folder + "offer", "wb") as file:
        file.write(manifest)
    return "step3_offer"
