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
import json
import sys

from micropython import const

_RESERVE_BYTES = const(3072)  # heap left for the node's work meanwhile
_NO_ROOM = const(28)  # ENOSPC
_OFFER = b'{"offer":'


class Ended(Exception):
    # (state, reason)
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
        reason = "the flash is full" if error.args[0] == _NO_ROOM else "the flash: %r" % error
        slot.end("failed", reason)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        slot.link.say("update: not a message of one (%r)" % error)
        if not (slot.take or slot.then):  # not an offer
            slot.version = slot.step = None


def _read(slot, payload):
    # Returns the next step.
    head = bytes(payload[:9])
    if head != _OFFER:
        return slot.take(slot, json.loads(payload)) if slot.take else slot.step
    slot.version = slot.step = slot.take = slot.then = None
    if slot.launcher.trial:
        return None  # the fallback is needed still; the master will offer again
    slot.version = ""
    return _load("step1_proof").accept(slot, payload)


def _load(step):
    # In no other module's reach, so that it goes when it has been used: a package has what it loaded, too.
    gc.collect()
    __import__("update." + step)
    for name in ("update.files", "update." + step):
        sys.modules.pop(name, None)
    globals().pop("files", None)
    return globals().pop(step)
