# The last step of an update: restarts into the new version when nothing is at work.

import time

import machine
from micropython import const
from update.say import sealed, tell

_PATIENCE_MS = const(120000)  # how long tasks at work and results unsent put off the restart


def begin(slot):
    slot.then = _switch
    if not slot.long:
        slot.moved_ms = time.ticks_ms()
    elif slot.quiet:
        return
    slot.long = "step9_switch"
    tell(slot, 3)


def _switch(slot):
    # Called whenever the broker has all that this node has to say of itself.
    core = slot.link.core
    busy = core.status == "busy" or core.waiting() or slot.link.outbox.results
    if busy and time.ticks_diff(time.ticks_ms(), slot.moved_ms) < _PATIENCE_MS:
        return
    slot.then = None
    try:
        slot.launcher.store(slot.name, slot.launcher.current, 2)
    except OSError as error:
        slot.end(2, "the switch: %r" % error)
        return
    _restart(slot)


def _restart(slot):
    # In good order if the link still is: the new version says the rest.
    link = slot.link
    core = link.core
    client = slot.client
    version = slot.version
    link.say("update to %s: restarting into it" % version)
    try:
        client.publish(core.topics.prefix + "updates", sealed(slot, slot.session, b"DCU2S", b"\4"), False, 1)
        with link.state:
            topic, payload, retain = core.set_status("offline")
        client.publish(topic, payload, retain, 1)
        client.disconnect()
    except (OSError, MemoryError):
        pass
    time.sleep_ms(500)  # until it has left
    machine.reset()
