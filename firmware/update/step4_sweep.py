# The third step of an update: keeps what is right already in the slot, removes all else.

import json
import os

from micropython import const
from update.files import KEPT, is_right, remove

_FOLDER = const(0x4000)


def begin(slot):
    folder = slot.folder
    remove(folder + "version.json")
    remove(slot.launcher.root + "failed")
    slot.link.core.capabilities.pop("failed", None)
    with open(folder + "offer") as file:
        offer = json.load(file)
    _sweep(folder, "", offer["files"])
    return "step5_next"


def _sweep(root, folder, files):
    for entry in list(os.ilistdir(root + folder)):
        path = folder + entry[0]
        if entry[1] == _FOLDER:
            _sweep(root, path + "/", files)
            try:
                os.rmdir(root + path)
            except OSError:  # not empty
                pass
        elif path not in KEPT and not (path in files and is_right(root + path, files[path])):
            os.remove(root + path)
