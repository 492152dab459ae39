# A result over which the broker closes the connection: an error takes its place, and what stands behind it
# goes on. Loaded when it is needed: hardly any board ever has one.

import gc
import json

_TYPE = "ResultSetAside"  # of the error


def set_aside(link):
    # Take the first result out of the link's outbox, and tell whoever wants it.
    gc.collect()
    with link.state:
        message = link.outbox.results[0]
        try:
            instead = _instead_of(link.core, message)
        except MemoryError:
            instead = None
        link.outbox.set_aside(instead)
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
