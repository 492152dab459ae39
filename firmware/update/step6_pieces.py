# The long step of an update: asks for a file, piece by piece.

import time

from micropython import const

from update import Ended
from update.hide import unhide
from update.mac import is_proven, mac
from update.say import say

_HEAD_BYTES = const(10)
_TAG_BYTES = const(16)


def begin(slot):
    slot.take = _take_piece
    if slot.long and slot.quiet:
        return
    slot.long = "step6_pieces"
    _ask(slot)


def _ask(slot):
    # Under a new number each time: what answers an older question is passed over.
    slot.number += 1
    numbers = slot.number.to_bytes(4, "big") + slot.at.to_bytes(4, "big")
    say(slot, slot.session, b"DCU2W", numbers + slot.path.encode())


def _take_piece(slot, message):
    # The next bytes of a file, if they are: what comes twice, or late, changes nothing.
    if len(message) < _HEAD_BYTES + _TAG_BYTES or message[5:9] != slot.number.to_bytes(4, "big"):
        return None
    if not is_proven(slot.session, message):
        return None
    slot.moved_ms = time.ticks_ms()
    data = message[_HEAD_BYTES:-_TAG_BYTES]
    unhide(data, mac(slot.session, b"E"), message[5:9])
    if slot.at + len(data) > slot.size_bytes:
        raise Ended(2, "%s is longer than all of it should be" % slot.path)
    if data or not slot.at:
        with open(slot.folder + "part", "ab") as file:
            file.write(data)
        slot.at += len(data)
    if message[9]:
        slot.take = slot.long = None  # before the next step is loaded: there is no room for two
        return "step7_file"
    return _ask(slot)
