# The third step of an update, and the long one: asks for the files, piece by piece.

import json
import os
from binascii import a2b_base64

from update import Ended
from update_files import is_right, size_of


def begin(slot):
    # Ask for the next file that is not there: what is there is right.
    staging = slot.staging
    folder = slot.folder
    with open(folder + "offer") as file:
        files = json.load(file)["files"]
    missing = [path for path in files if size_of(folder + path) < 0]
    if not missing:
        staging.take = None
        return "update_switch"
    staging.take = take
    staging.path = min(missing)
    staging.digest = files[staging.path]
    staging.at = max(0, size_of(folder + "part"))
    staging.whole = staging.at == 0  # whether all of `part` was received under this offer
    return _ask(slot)


def _ask(slot):
    staging = slot.staging
    slot.report(version=staging.version, want=staging.path, at=staging.at)


def take(slot, message):
    # The next bytes of a file, if they are: what comes twice, or late, changes nothing.
    staging = slot.staging
    if (message["version"], message["path"], message["at"]) != (staging.version, staging.path, staging.at):
        return None
    data = a2b_base64(message["data"])
    if staging.at + len(data) > staging.size:
        raise Ended("failed", "%s is longer than all of it should be" % staging.path)
    folder = slot.folder
    if data or not staging.at:
        with open(folder + "part", "ab") as file:
            file.write(data)
        staging.at += len(data)
    if message.get("end"):
        _take_file(staging, folder)
        return begin(slot)
    return _ask(slot)


def _take_file(staging, folder):
    if is_right(folder + "part", staging.digest):
        at = staging.path.find("/")
        while at > 0:
            try:
                os.mkdir(folder + staging.path[:at])
            except OSError:  # it is there
                pass
            at = staging.path.find("/", at + 1)
        os.rename(folder + "part", folder + staging.path)
    else:
        os.remove(folder + "part")
        if staging.whole:
            raise Ended("failed", "the sha256 of %s is not as offered" % staging.path)
