# main.py of a board that keeps its program in slots: starts the version that the file `slot` names, and the
# one before it if that does not reach the broker.
#
# /slot says "<current> <fallback> <tries>". A slot is a folder (a, b) that holds a whole program; its
# version.json is written last. "." is the flash's root with the main_before.py that was there before slots.
# While there is a fallback ("-": none) the current one is on trial: it has that many starts left, and in each
# of them `confirm_s` seconds until a `ready` of it is acknowledged.
#
# Each change is one rename, and comes before what it is about: wherever the power is cut, the board boots.

import gc
import os
import sys

import machine

_FIRST = ("slot", "slot.new")  # slot.new alone: where a rename replaces nothing, the power was cut between


class Launcher:
    # As the module `launcher`: what runs now, and what the program tells of itself.

    def __init__(self):
        self.root = os.getcwd().rstrip("/") + "/"
        self.current, self.fallback, self.tries = self._find()
        self.version, self.confirm_s = self._described(self.current)
        self.failed = None
        self.staging = None  # the update under way
        self.then = None  # what it waits to do when all has been told
        if self.tries <= 0 and self._described(self.fallback):
            self._fall_back()
        self.trial = self.fallback != "-"
        self.free = "b" if self.current == "a" else "a"  # the slot for the next version

    def attach(self, link, client):
        # The program's way to the broker: what is said of the version, and where its successor comes from.
        # Done from here, so that a board without slots has none of it in its heap.
        self.link = link
        self.client = client
        topic = (link.core.task_topic + "/update").encode()
        capabilities = link.core.capabilities
        capabilities["version"] = self.version
        if self.failed:
            capabilities["failed"] = self.failed
        connect, on_puback, on_message = client.connect, client.on_puback, client.cb

        def connected():
            connect()
            client.subscribe(topic, 1)

        def acknowledged(packet_id):
            on_puback(packet_id)
            if not link.outbox.control:
                self.sent()

        def arrived(about, payload, size):
            if about == topic:
                self.offered(payload)
            else:
                on_message(about, payload, size)

        client.connect, client.on_puback = connected, acknowledged
        client.set_callback(arrived)

    def sent(self):
        # The broker has acknowledged all that this node says of itself: the version stays.
        try:
            if self.trial:
                self.store(self.current, "-", 0)
                self.trial = False
            elif self.then:
                self.then(self)
        except MemoryError:  # the next acknowledgement is as good
            gc.collect()

    def offered(self, payload):
        # A message of an update. Its code is loaded for as long as it is needed; a message too large for
        # the heap has no payload.
        gc.collect()
        try:
            if payload is None:
                raise MemoryError
            import update

            update.receive(self, payload)
        except MemoryError:
            self.end("failed", "not enough memory for an update")
        if not self.staging:
            self._unload()

    def end(self, state, reason):
        # The update comes to nothing.
        version = self.staging.version if self.staging else ""
        self.staging = self.then = None
        self._unload()
        try:
            self.link.say("update %s %s: %s" % (version, state, reason))
            self.report(version=version, state=state, reason=reason)
        except MemoryError:  # the master asks again
            gc.collect()

    def _unload(self):
        for name in list(sys.modules):  # what failed half loaded is there, too
            if name.startswith("update"):
                del sys.modules[name]
        gc.collect()

    def report(self, **fields):
        # To the master, of an update.
        import json

        link = self.link
        core = link.core
        fields["node_id"] = core.node_id
        fields["inc"] = core.inc
        with link.state:
            link.outbox.add_status((core.topics.prefix + "updates", json.dumps(fields).encode(), False))

    def store(self, current, fallback, tries):
        # The one step that switches. OSError if the flash is full: nothing has changed then.
        self.write("slot", "%s %s %d\n" % (current, fallback, tries))

    def write(self, name, text):
        # Replace a small file of the flash's root, whole or not at all.
        path = self.root + name
        with open(path + ".new", "w") as file:
            file.write(text)
        try:
            os.rename(path + ".new", path)
        except OSError:  # FAT replaces nothing
            os.remove(path)
            os.rename(path + ".new", path)

    def folder(self, slot):
        return self.root if slot == "." else self.root + slot + "/"

    def _read(self, name):
        with open(self.root + name) as file:
            return file.read()

    def _find(self):
        for name in _FIRST:
            try:
                current, fallback, tries = self._read(name).split()
                if self._described(current):
                    return current, fallback, int(tries)
                if self._described(fallback):
                    return fallback, "-", 0
            except (OSError, ValueError):
                pass
        for slot in ("a", "b", "."):
            if self._described(slot):
                return slot, "-", 0
        raise OSError("no slot with a version.json, and no main_before.py")

    def _described(self, slot):
        # (version, confirm_s) of a slot that is whole; None if it is not.
        try:
            if slot == ".":
                os.stat(self.root + "main_before.py")
                return None, 120
            import json

            about = json.loads(self._read(slot + "/version.json"))
            return about["version"], about.get("confirm_s", 120)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _fall_back(self):
        failed, self.failed = self.current, self.version
        print("launcher: version %s did not come up, back to the one before" % self.failed)
        self.write("failed", str(self.failed))
        self.store(self.fallback, "-", 0)
        self.current, self.fallback = self.fallback, "-"
        self.version, self.confirm_s = self._described(self.current) or (None, 120)
        try:
            os.remove(self.folder(failed) + "version.json")
        except OSError:
            pass

    def run(self):
        if self.trial:
            self.store(self.current, self.fallback, max(0, self.tries - 1))
            import _thread

            _thread.start_new_thread(self._guard, ())
        elif not self.failed:
            try:
                self.failed = self._read("failed")
            except OSError:
                pass
        sys.modules["launcher"] = self
        os.chdir(self.folder(self.current))  # sys.path begins with "", the working directory
        try:
            execfile(  # noqa: F821
                "main_before.py" if self.current == "." else "main.py", {"__name__": "__main__"}
            )
        except KeyboardInterrupt:  # somebody wants the prompt
            self.trial = False
            raise
        except BaseException as error:
            if not self.trial:
                raise
            sys.print_exception(error)
            machine.reset()

    def _guard(self):
        import time

        time.sleep(self.confirm_s)
        if self.trial:
            print("launcher: version %s was not ready within %d s" % (self.version, self.confirm_s))
            machine.reset()


Launcher().run()
