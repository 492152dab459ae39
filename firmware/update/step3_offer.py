# The second step of an update: whether the version offered fits.

import json
import os

from micropython import const
from update import Ended
from update.files import KEPT, remove, size_of

_FOLDER = const(0x4000)


def begin(slot):
    folder = slot.folder
    try:
        with open(folder + "offer") as file:
            offer = json.load(file)
        slot.version = offer["version"]
        slot.size_bytes = offer["bytes"]
        slot.release = offer["release"]
        reason = _misfit(slot, offer, folder)
        if reason:
            raise Ended(1, reason)
    except Exception:
        remove(folder + "offer")
        raise
    return "step4_sweep"


def _misfit(slot, offer, folder):
    # Why this version cannot be taken; "" if it can.
    files = offer["files"]
    if slot.release <= slot.launcher.release and not slot.back:
        return "its release, %d, is not above the one that runs, %d" % (slot.release, slot.launcher.release)
    if "main.py" not in files:
        return "no main.py in it"
    for path in files:
        parts = path.split("/")
        if not path or "" in parts or "." in parts or ".." in parts or path in KEPT:
            return "%r is no name for a file of a slot" % path
    stat = os.statvfs(folder)
    room = stat[1] * stat[4] + _used(folder)
    needed = offer["bytes"] + len(files) * stat[1] // 2  # half a block lost at each file's end
    if needed > room:
        return "too large: it needs %d bytes of flash, and %d are free" % (needed, room)
    return ""


def _used(folder):
    # Bytes of all files in a folder.
    used = 0
    for entry in list(os.ilistdir(folder)):
        path = folder + entry[0]
        used += _used(path + "/") if entry[1] == _FOLDER else size_of(path)
    return used
