# The last step of an update: makes a version of the files, and restarts into it when nothing is at work.

import json
import os
import time

import machine
from micropython import const
from update_files import remove, size_of

_BLOCK_BYTES = const(512)
_PATIENCE_MS = const(120000)  # how long tasks at work and results unsent put off the restart


def begin(slot):
    folder = slot.folder
    remove(folder + "part")
    if size_of(folder + "config.py") < 0:
        _copy(slot.launcher.folder(slot.launcher.current) + "config.py", folder + "config.py")
    os.rename(folder + "offer", folder + "version.json")
    slot.staging.staged_ms = time.ticks_ms()
    slot.staging.take = None
    slot.then = _switch
    slot.report(version=slot.staging.version, state="staged")


def _switch(slot):
    # Called whenever the broker has all that this node has to say of itself.
    core = slot.link.core
    busy = core.status == "busy" or core.waiting() or slot.link.outbox.results
    if busy and time.ticks_diff(time.ticks_ms(), slot.staging.staged_ms) < _PATIENCE_MS:
        return
    slot.then = None
    try:
        slot.launcher.store(slot.name, slot.launcher.current, 2)
    except OSError as error:
        slot.end("failed", "the switch: %r" % error)
        return
    _restart(slot)


def _restart(slot):
    # In good order if the link still is: the new version says the rest.
    link = slot.link
    core = link.core
    client = slot.client
    version = slot.staging.version
    fields = {"node_id": core.node_id, "inc": core.inc, "version": version, "state": "switching"}
    link.say("update to %s: restarting into it" % version)
    try:
        client.publish(core.topics.prefix + "updates", json.dumps(fields), False, 1)
        with link.state:
            topic, payload, retain = core.set_status("offline")
        client.publish(topic, payload, retain, 1)
        client.disconnect()
    except (OSError, MemoryError):
        pass
    time.sleep_ms(500)  # until it has left
    machine.reset()


def _copy(source, target):
    block = bytearray(_BLOCK_BYTES)
    with open(source, "rb") as old, open(target, "wb") as new:
        while True:
            count = old.readinto(block)
            if not count:
                break
            new.write(memoryview(block)[:count])
