# The second step of an update: whether the version offered fits, and what of it is in the slot already.

import json
import os

from micropython import const
from update import Ended
from update_files import is_right, remove, size_of

_FOLDER = const(0x4000)
_KEPT = ("version.json", "offer", "part")  # names of a slot that are no files of a version


def begin(slot):
    # Keep what is right already, remove all else.
    folder = slot.folder
    staging = slot.staging
    try:
        with open(folder + "offer") as file:
            offer = json.load(file)
        staging.version = offer["version"]
        staging.size = offer["bytes"]
        files = offer["files"]
        reason = _misfit(slot, offer, folder)
        if reason:
            raise Ended("refused", reason)
    except Exception:
        remove(folder + "offer")
        raise
    remove(folder + "version.json")
    remove(slot.launcher.root + "failed")
    slot.link.core.capabilities.pop("failed", None)
    _sweep(folder, "", files)
    return "update_pieces"


def _misfit(slot, offer, folder):
    # Why this version cannot be taken; "" if it can.
    files = offer["files"]
    if offer["version"] == slot.launcher.version:
        return "this version runs already"
    if "main.py" not in files:
        return "no main.py in it"
    for path in files:
        parts = path.split("/")
        if not path or "" in parts or "." in parts or ".." in parts or path in _KEPT:
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


def _sweep(root, folder, files):
    # Removes all that is not right.
    for entry in list(os.ilistdir(root + folder)):
        path = folder + entry[0]
        if entry[1] == _FOLDER:
            _sweep(root, path + "/", files)
            try:
                os.rmdir(root + path)
            except OSError:  # not empty
                pass
        elif path not in _KEPT and not (path in files and is_right(root + path, files[path])):
            os.remove(root + path)
