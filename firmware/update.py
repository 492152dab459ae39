# Takes a new version over the air into the slot that does not run. Loaded by the launcher when an offer
# comes, and dropped again when that comes to nothing.
#
# The board asks for each next piece, so losses, drops and power cuts need no memory of their own: a new offer
# goes on with what is whole (by its sha256) and with the file that had begun, `part`. The order of the steps
# makes a power cut harmless: the other slot's version.json goes first and comes last; then `slot` changes.
#
# Each step is a module, loaded for as long as it takes: beside its work a board has little room left, above
# all to compile a source. `begin(launcher)` of a step returns the name of the next one, if that is now.

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


class Staging:
    # `launcher.staging`: one version on its way into the other slot. `take(launcher, message)` does what the
    # present step does with a piece.
    version = ""
    take = None


def receive(launcher, payload):
    # Take in a message of the master's.
    try:
        step = _read(launcher, payload)
        while step:
            step = _load(step).begin(launcher)
            gc.collect()
            if gc.mem_free() < _RESERVE_BYTES:
                raise MemoryError
    except (Ended, OSError) as error:
        if isinstance(error, Ended):
            state, reason = error.args
        else:
            state = "failed"
            reason = "the flash is full" if error.args[0] == _NO_ROOM else "the flash: %r" % error
        launcher.end(state, reason)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        launcher.link.say("update: a message that is none (%r)" % error)
        if launcher.staging and not launcher.staging.take and not launcher.then:  # an offer that is none
            launcher.staging = None


def _read(launcher, payload):
    # A frame of its own, which keeps nothing of the message for the steps to come.
    if bytes(payload[: len(_OFFER)]) == _OFFER:
        launcher.staging = launcher.then = None
        if launcher.trial:
            return None  # the fallback is needed still; the master will offer again
        launcher.staging = Staging()
        return _load("update_proof").accept(launcher, payload)
    staging = launcher.staging
    return staging.take(launcher, json.loads(payload)) if staging and staging.take else None


def _load(step):
    gc.collect()
    module = __import__(step)
    sys.modules.pop(step)
    sys.modules.pop("update_files", None)
    return module
