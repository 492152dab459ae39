# The slot that does not run, and the update under way into it, if one is.

import gc
import sys
import time

from micropython import const

_PATIENCE_MS = const(60000)  # an update that stands still for so long makes way for another offer


class NextSlot:
    def __init__(self, launcher, link, client):
        self.launcher = launcher
        self.link = link
        self.client = client
        self.name = "b" if launcher.current == "a" else "a"
        self.folder = launcher.folder(self.name)
        self.nonce = None  # this board's challenge, which an offer has to name; none until it is asked for
        # Of an update under way: which version, "" while it is not known; the next step; the one that lasts,
        # also while its code has made room; what that does with a piece; what is to be done when the broker
        # has all that there is to say; whether that step has nothing to say when it is loaded again.
        self.version = self.step = self.long = self.take = self.then = self.offered = None
        self.quiet = False

    def is_under_way(self):
        if self.version is None:
            return False
        return bool(
            self.long == "step9_switch" or time.ticks_diff(time.ticks_ms(), self.moved_ms) < _PATIENCE_MS
        )

    def take_in(self, payload):
        # A message of an update, or none: its next step. Its code is loaded for as long as it is needed; a
        # message too large for the heap has no payload, and says nothing of who sent it.
        gc.collect()
        try:
            if payload is not None:
                import update

                update.go_on(self, payload)
        except MemoryError:
            if self.version is not None:
                self.end(2, "not enough memory for an update")
        if self.version is None:
            self._unload()

    def end(self, code, reason):
        # The update comes to nothing: refused (1) or failed (2).
        version = self.version
        self.version = self.step = self.long = self.take = self.then = None
        self._unload()
        if version is None:  # nothing was proven, so there is nobody to be told
            return
        try:
            self.link.say("update %s: %s" % (version, reason))
            import update.say

            update.say.tell(self, code, reason)
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
