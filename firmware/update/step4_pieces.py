# The fourth step of an update, and the long one: asks for the files, piece by piece.

import json
from binascii import a2b_base64

from update import Ended
from update.files import size_of


def begin(slot):
    # Ask for the next file that is not there: what is there is right.
    folder = slot.folder
    with open(folder + "offer") as file:
        files = json.load(file)["files"]
    missing = [path for path in files if size_of(folder + path) < 0]
    if not missing:
        slot.take = None
        return "step6_finish"
    slot.take = _take_piece
    slot.path = min(missing)
    slot.digest = files[slot.path]
    slot.at = max(0, size_of(folder + "part"))
    slot.whole = slot.at == 0  # whether all of `part` was received under this offer
    return _ask(slot)


def _ask(slot):
    slot.report(version=slot.version, want=slot.path, at=slot.at)


def _take_piece(slot, message):
    # The next bytes of a file, if they are: what comes twice, or late, changes nothing.
    if (message["version"], message["path"], message["at"]) != (slot.version, slot.path, slot.at):
        return None
    data = a2b_base64(message["data"])
    if slot.at + len(data) > slot.size_bytes:
        raise Ended("failed", "%s is longer than all of it should be" % slot.path)
    if data or not slot.at:
        with open(slot.folder + "part", "ab") as file:
            file.write(data)
        slot.at += len(data)
    if message.get("end"):
        slot.take = None
        return "step5_file"
    return _ask(slot)
