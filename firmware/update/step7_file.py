# When all of a file of an update has come: checks it and puts it where it belongs.

import os

from update import Ended
from update.files import is_right


def begin(slot):
    folder = slot.folder
    if is_right(folder + "part", slot.digest):
        _place(folder, slot.path)
    else:
        os.remove(folder + "part")
        if slot.whole:
            raise Ended(2, "the sha256 of %s is not as offered" % slot.path)
    return "step5_next"


def _place(folder, path):
    at = path.find("/")
    while at > 0:
        try:
            os.mkdir(folder + path[:at])
        except OSError:  # it is there
            pass
        at = path.find("/", at + 1)
    os.rename(folder + "part", folder + path)
