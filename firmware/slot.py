# What a node says of the version it runs, and how it comes to the next one: only where a launcher keeps
# versions in slots, so that other boards have none of it in their heap.

import gc
import json
import sys


def attach(launcher, link, client):
    slot = Slot(launcher, link, client)
    capabilities = link.core.capabilities
    capabilities["version"] = launcher.version
    if launcher.failed:
        capabilities["failed"] = launcher.failed
    topic = (link.core.task_topic + "/update").encode()
    connect, on_puback, on_message = client.connect, client.on_puback, client.cb
    keep_alive = client.keep_alive

    def connected():
        connect()
        client.subscribe(topic, 1)

    def acknowledged(packet_id):
        on_puback(packet_id)
        if not link.outbox.control:
            slot.sent()

    def arrived(about, payload, size):
        if about == topic:
            slot.update(payload)
        else:
            on_message(about, payload, size)

    def turned():
        keep_alive()
        if slot.step:  # now that the message before it has left the heap
            slot.update(b"")

    client.connect, client.on_puback, client.keep_alive = connected, acknowledged, turned
    client.set_callback(arrived)
    del globals()["attach"]  # it is needed once


class Slot:
    # `folder` is the other slot's, for the next version.

    def __init__(self, launcher, link, client):
        self.launcher = launcher
        self.link = link
        self.client = client
        self.name = "b" if launcher.current == "a" else "a"
        self.folder = launcher.folder(self.name)
        self.staging = None  # the update under way
        self.step = None  # what it does next
        self.then = None  # what it waits to do when all has been told

    def sent(self):
        # The broker has acknowledged all that this node says of itself: its version stays.
        try:
            if self.launcher.trial:
                self.launcher.confirm()
            elif self.then:
                self.then(self)
        except MemoryError:  # the next acknowledgement is as good
            gc.collect()

    def update(self, payload):
        # A message of an update, or none: its next step. Its code is loaded for as long as it is needed; a
        # message too large for the heap has no payload.
        gc.collect()
        try:
            if payload is None:
                raise MemoryError
            import update

            update.go_on(self, payload)
        except MemoryError:
            self.end("failed", "not enough memory for an update")
        if not self.staging:
            self._unload()

    def end(self, state, reason):
        # The update comes to nothing.
        version = self.staging.version if self.staging else ""
        self.staging = self.step = self.then = None
        self._unload()
        try:
            self.link.say("update %s %s: %s" % (version, state, reason))
            self.report(version=version, state=state, reason=reason)
        except MemoryError:  # the master asks again
            gc.collect()

    def _unload(self):
        # Without a byte of heap. What failed half loaded is there, too.
        name = "update"
        while name:
            sys.modules.pop(name, None)
            name = None
            for loaded in sys.modules:
                if loaded.startswith("update"):
                    name = loaded
        gc.collect()

    def report(self, **fields):
        # To the master, of an update.
        link = self.link
        core = link.core
        fields["node_id"] = core.node_id
        fields["inc"] = core.inc
        with link.state:
            link.outbox.add_status((core.topics.prefix + "updates", json.dumps(fields).encode(), False))
