# The slot that does not run, and the update under way into it, if one is.

import gc
import json
import sys


class NextSlot:
    def __init__(self, launcher, link, client):
        self.launcher = launcher
        self.link = link
        self.client = client
        self.name = "b" if launcher.current == "a" else "a"
        self.folder = launcher.folder(self.name)
        self.key = _key()
        # Of an update under way: which version, "" while it is not known; the next step; what that does with
        # a piece; what is to be done when the broker has all that there is to say.
        self.version = self.step = self.take = self.then = None

    def take_in(self, payload):
        # A message of an update, or (empty) its next step. Its code is loaded for as long as it is needed; a
        # message too large for the heap has no payload.
        gc.collect()
        try:
            if payload is None:
                raise MemoryError
            import update

            update.go_on(self, payload)
        except MemoryError:
            self.end("failed", "not enough memory for an update")
        if self.version is None:
            self._unload()

    def end(self, state, reason):
        # The update comes to nothing.
        version = self.version or ""
        self.version = self.step = self.take = self.then = None
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


def _key():
    # What signs an offer; None: none is taken, "": all are.
    import config

    del sys.modules["config"]
    key = getattr(config, "UPDATE_KEY", None) or None
    return "" if not key and getattr(config, "UPDATE_UNSIGNED", False) is True else key
