# Takes a new version over the air into the slot that does not run. Loaded by slot.py when an offer
# comes, and dropped again when that comes to nothing.
#
# The board asks for each next piece, so losses, drops and power cuts need no memory of their own: a new offer
# goes on with what is whole (by its sha256) and with the file that had begun, `part`. The order of the steps
# makes a power cut harmless: the other slot's version.json goes first and comes last; then `slot` changes.
#
# Each step is a module, loaded for as long as it takes: beside its work a board has little room left, above
# all to compile a source. `begin(slot)` of a step returns the name of the next one, if that is now. A step
# that lasts, `slot.long`, makes room for what comes amid it and is loaded again: `quiet`, unless it is to say
# once more what it said last.

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
        if not payload:
            slot.step = load(slot.step).begin(slot)
        elif slot.take and payload[4] == 0x50:
            slot.step = slot.take(slot, payload)
        else:
            slot.step = load("receive").begin(slot, payload)
        gc.collect()
        if slot.version and gc.mem_free() < _RESERVE_BYTES:
            raise MemoryError
    except Ended as error:
        slot.end(*error.args)
    except OSError as error:
        slot.end(2, "the flash is full" if error.args[0] == _NO_ROOM else "the flash: %r" % error)
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # proven, or it would not be read
        slot.end(2, "the manifest: %r" % error)


def load(step):
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
