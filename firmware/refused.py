# A result over which the broker closes the connection: an error takes its place, and what stands behind it
# goes on. Loaded when it is needed: hardly any board ever has one.
#
# It does so over this if it has closed twice with the result in flight and let us in again each time; five
# times if it took one as large before. A try to connect that fails takes one back: the broker was stopped.

import gc
import json

_TYPE = "ResultSetAside"  # of the error
_CLOSES_OVER_A_USUAL_ONE = 5


def set_aside(link):
    # Take the first result out of the link's outbox, if it is that, and tell whoever wants it.
    gc.collect()
    outbox = link.outbox
    with link.state:
        message = outbox.results[0]
        if len(message[1]) <= outbox.largest and outbox.closes < _CLOSES_OVER_A_USUAL_ONE:
            return
        try:
            instead = _instead_of(link.core, message)
        except MemoryError:
            instead = None
        outbox.set_aside(instead)
    link.say("set aside a result of %d bytes: the broker closes the connection over it" % len(message[1]))


def _instead_of(core, message):
    topic, payload, retain = message
    body = json.loads(payload)
    error = "the result of %d bytes cannot be sent: the broker closes the connection over it" % len(payload)
    if "ok" in body:
        if (body.get("error") or {}).get("type") == _TYPE:
            return None  # not even that
        body["ok"] = False
        body["result"] = None
        body["error"] = {"type": _TYPE, "message": error, "traceback": ""}
    elif "result" in body:
        if isinstance(body["result"], dict) and body["result"].get("type") == _TYPE:
            return None
        body["result"] = {"error": error, "type": _TYPE}
    else:
        return None
    instead = json.dumps(body).encode()
    if "ok" in body:  # its asker may ask again
        known = core.ring.askers.get(topic[len(core.topics.results) + 1 :])
        entry = known and known.may.get(body["n"])
        if entry:
            core.ring.drop(entry)
            entry.held = instead
    return (topic, instead, retain)
