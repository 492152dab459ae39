# Takes a new version over the air into the slot that does not run. Loaded by slot.py when an offer
# comes, and dropped again when that comes to nothing.
#
# The board asks for each next piece, so losses, drops and power cuts need no memory of their own: a new offer
# goes on with what is whole (by its sha256) and with the file that had begun, `part`. The order of the steps
# makes a power cut harmless: the other slot's version.json goes first and comes last; then `slot` changes.
#
# Each step is a module, loaded for as long as it takes: beside its work a board has little room left, above
# all to compile a source. `begin(slot)` of a step returns the name of the next one, if that is now.

import gc
import sys

from micropython import const

_RESERVE_BYTES = const(3072)  # heap left for the node's work meanwhile
_NO_ROOM = const(28)  # ENOSPC


class Ended(Exception):
    # (1 refused or 2 failed, reason)
    pass


def go_on(slot, payload):
    # Take in a message of the master's, or take the next step, `slot.step`.
    try:
        slot.step = _read(slot, payload) if payload else _load(slot.step).begin(slot)
        gc.collect()
        if slot.version and gc.mem_free() < _RESERVE_BYTES:
            raise MemoryError
    except Ended as error:
        slot.end(*error.args)
    except OSError as error:
        slot.end(2, "the flash is full" if error.args[0] == _NO_ROOM else "the flash: %r" % error)
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # proven, or it would not be read
        slot.end(2, "the manifest: %r" % error)


def _read(slot, payload):
    # Returns the next step. What is not proven is passed over without a word.
    kind = payload[4]
    if payload[:4] != b"DCU2":
        pass
    elif kind == 0x50 and slot.take:
        return slot.take(slot, payload)
    elif kind == 0x51:
        _load("hello").begin(slot, payload)
    elif kind == 0x4F:
        entry = _load("step1_proof").begin(slot, payload)
        if entry:
            busy = slot.is_under_way()
            if not busy:  # from here on there is somebody to be told of a want of memory
                slot.version, slot.session = "", entry[1]
            _load("hide").unhide(payload[42:-16], entry[0], b"")
            return _load("step2_keep").begin(slot, payload, busy, *entry[1:])
    return slot.step


def _load(step):
    # In no other module's reach, so that it goes when it has been used: a package has what it loaded, too.
    # For want of a long enough piece of heap: once more, when what was loaded by half has gone.
    module = None
    for _ in range(2):
        gc.collect()
        try:
            __import__("update." + step)
            module = globals()[step]
        except MemoryError:
            pass
        for name in (step, "files", "mac", "say", "hide"):
            sys.modules.pop("update." + name, None)
            globals().pop(name, None)
        if module:
            return module
    raise MemoryError
