# Which file of an update comes next: one that is not there, as what is there is right.

import json

from update.files import size_of


def begin(slot):
    folder = slot.folder
    with open(folder + "offer") as file:
        files = json.load(file)["files"]
    missing = [path for path in files if size_of(folder + path) < 0]
    if not missing:
        return "step8_finish"
    slot.path = min(missing)
    slot.digest = files[slot.path]
    slot.at = max(0, size_of(folder + "part"))
    slot.whole = slot.at == 0  # whether all of `part` was received under this offer
    return "step6_pieces"
