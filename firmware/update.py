# Takes a new version over the air into the slot that does not run. Loaded by the launcher when an offer
# comes, and dropped again when that comes to nothing.
#
# The board asks for each next piece, so losses, drops and power cuts need no memory of their own: a new offer
# goes on with what is whole (by its sha256) and with the file that had begun, `part`. The order of the steps
# makes a power cut harmless: the other slot's version.json goes first and comes last; then `slot` changes.

import gc
import hashlib
import json
import os
import time
from binascii import a2b_base64, hexlify

import config
import machine
from micropython import const

_BLOCK_BYTES = const(512)
_PATIENCE_MS = const(120000)  # how long tasks at work and results unsent put off the restart
_NO_ROOM = const(28)  # ENOSPC
_FOLDER = const(0x4000)


def receive(launcher, payload):
    # Take in a message of the master's. `launcher.staging` is the update under way, None when there is none.
    try:
        message = json.loads(payload)
        if "offer" in message:
            launcher.staging = launcher.then = None
            launcher.staging = _begin(launcher, message)
        elif launcher.staging:
            launcher.staging.piece(message)
    except _Ended as error:
        launcher.staging = None
        _report(launcher, error.args[1], state=error.args[0], reason=error.args[2])
    except OSError as error:
        version = launcher.staging.version if launcher.staging else ""
        launcher.staging = None
        reason = "the flash is full" if error.args[0] == _NO_ROOM else "the flash: %r" % error
        _report(launcher, version, state="failed", reason=reason)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        launcher.link.say("update: a message that is none (%r)" % error)


class _Ended(Exception):
    # (state, version, reason)
    pass


def _report(launcher, version, **fields):
    link = launcher.link
    core = link.core
    fields["node_id"] = core.node_id
    fields["inc"] = core.inc
    fields["version"] = version
    if "reason" in fields:
        link.say("update to %s %s: %s" % (version, fields["state"], fields["reason"]))
    with link.state:
        link.outbox.add_status((core.topics.prefix + "updates", json.dumps(fields).encode(), False))


def _begin(launcher, message):
    if launcher.trial:
        return None  # the fallback is needed still; the master will offer again
    text = message["offer"].encode()
    about = json.loads(text)
    version = about["version"]
    reason = _unproven(launcher.link.core.inc, text, message.get("sig"))
    if not reason and version == launcher.version:
        reason = "this version runs already"
    staging = _Staging(launcher, version, text, about["files"], about["bytes"])
    reason = reason or staging.misfit()
    if reason:
        raise _Ended("refused", version, reason)
    staging.begin()
    return staging


def _unproven(inc, text, signature):
    # Why this manifest is not to be trusted; "" if it is.
    key = getattr(config, "UPDATE_KEY", None)
    if not key or signature is None:
        if getattr(config, "UPDATE_UNSIGNED", False) is True and not key:
            return ""
        return "config.py has no UPDATE_KEY" if not key else "it is not signed"
    proof = hexlify(_hmac(key.encode(), inc.encode() + b"\n" + text))
    given = str(signature).encode()
    differs = len(proof) != len(given)
    for one, other in zip(proof, given):  # noqa: B905  in the same time, wherever they differ
        differs |= one != other
    return "the signature is not that of this board's UPDATE_KEY for this connection" if differs else ""


def _hmac(key, text):
    # HMAC-SHA256, which MicroPython has not.
    if len(key) > 64:
        key = hashlib.sha256(key).digest()
    key = key + bytes(64 - len(key))
    inner = hashlib.sha256(bytes([byte ^ 0x36 for byte in key]))
    inner.update(text)
    outer = hashlib.sha256(bytes([byte ^ 0x5C for byte in key]))
    outer.update(inner.digest())
    return outer.digest()


class _Staging:
    # One version on its way into the other slot.

    def __init__(self, launcher, version, manifest, files, size):
        self.version = version
        self._launcher = launcher
        self._manifest = manifest
        self._files = files
        self._size = size
        self._slot = "b" if launcher.current == "a" else "a"
        self._folder = launcher.folder(self._slot)
        self._part = self._folder + "part"
        self._missing = []
        self._at = 0
        self._whole = False  # whether all of `part` was received under this offer

    def misfit(self):
        # Why these files cannot be taken; "" if they can.
        if "main.py" not in self._files:
            return "no main.py in it"
        for path in self._files:
            parts = path.split("/")
            if not path or "" in parts or "." in parts or ".." in parts or path in ("version.json", "part"):
                return "%r is no name for a file of a slot" % path
        stat = os.statvfs(self._launcher.root)
        room = stat[1] * stat[4] + _used(self._folder)
        needed = self._size + len(self._files) * stat[1] // 2  # half a block lost at each file's end
        if needed > room:
            return "too large: it needs %d bytes of flash, and %d are free" % (needed, room)
        return ""

    def begin(self):
        # Keep what is right already, remove all else, ask for the first piece.
        _make_folder(self._folder[:-1])
        _remove(self._folder + "version.json")
        _remove(self._launcher.root + "failed")
        self._launcher.link.core.capabilities.pop("failed", None)
        self._missing = sorted(self._files)
        self._sweep("")
        self._next()

    def _sweep(self, folder):
        for entry in list(os.ilistdir(self._folder + folder)):
            path = folder + entry[0]
            if entry[1] == _FOLDER:
                self._sweep(path + "/")
                try:
                    os.rmdir(self._folder + path)
                except OSError:  # not empty
                    pass
            elif path in self._missing and self._is_right(self._folder + path, path):
                self._missing.remove(path)
            elif path != "part":
                os.remove(self._folder + path)

    def _is_right(self, place, path):
        gc.collect()
        block = bytearray(_BLOCK_BYTES)
        state = hashlib.sha256()
        with open(place, "rb") as file:
            while True:
                count = file.readinto(block)
                if not count:
                    break
                state.update(memoryview(block)[:count])
        return hexlify(state.digest()).decode() == self._files[path]

    def _next(self):
        if not self._missing:
            self._finish()
            return
        self._at = _size(self._part)
        self._whole = self._at == 0
        self._ask()

    def _ask(self):
        _report(self._launcher, self.version, want=self._missing[0], at=self._at)

    def piece(self, message):
        # The next bytes of a file, if they are: what comes twice, or late, changes nothing.
        if message["version"] != self.version or not self._missing or message["path"] != self._missing[0]:
            return
        if message["at"] != self._at:
            return
        data = a2b_base64(message["data"])
        if self._at + len(data) > self._size:
            raise _Ended("failed", self.version, "%s is longer than all of it should be" % self._missing[0])
        if data:
            with open(self._part, "ab") as file:
                file.write(data)
            self._at += len(data)
        if message.get("end"):
            self._take_file()
        else:
            self._ask()

    def _take_file(self):
        path = self._missing[0]
        if not self._at:
            open(self._part, "wb").close()
        if self._is_right(self._part, path):
            folders = path.split("/")[:-1]
            for depth in range(len(folders)):
                _make_folder(self._folder + "/".join(folders[: depth + 1]))
            os.rename(self._part, self._folder + path)
            self._missing.pop(0)
        else:
            os.remove(self._part)
            if self._whole:
                raise _Ended("failed", self.version, "the sha256 of %s is not as offered" % path)
        self._next()

    def _finish(self):
        # All is here: make it a version, and restart into it when nothing is at work.
        launcher = self._launcher
        _remove(self._part)
        if "config.py" not in self._files:
            _copy(launcher.folder(launcher.current) + "config.py", self._folder + "config.py")
        with open(self._part, "wb") as file:
            file.write(self._manifest)
        os.rename(self._part, self._folder + "version.json")
        self._staged_ms = time.ticks_ms()
        launcher.then = self.switch
        _report(launcher, self.version, state="staged")

    def switch(self):
        # Called whenever the broker has all that this node has to say of itself.
        launcher = self._launcher
        core = launcher.link.core
        busy = core.status == "busy" or core.waiting() or launcher.link.outbox.results
        if busy and time.ticks_diff(time.ticks_ms(), self._staged_ms) < _PATIENCE_MS:
            return
        launcher.then = None
        try:
            launcher.store(self._slot, launcher.current, 2)
        except OSError as error:
            _report(launcher, self.version, state="failed", reason="the switch: %r" % error)
            return
        self._restart()

    def _restart(self):
        # In good order if the link still is: the new version says the rest.
        link = self._launcher.link
        core = link.core
        client = self._launcher.client
        fields = {"node_id": core.node_id, "inc": core.inc, "version": self.version, "state": "switching"}
        link.say("update to %s: restarting into it" % self.version)
        try:
            client.publish(core.topics.prefix + "updates", json.dumps(fields), False, 1)
            with link.state:
                topic, payload, retain = core.set_status("offline")
            client.publish(topic, payload, retain, 1)
            client.disconnect()
        except OSError:
            pass
        time.sleep_ms(500)  # until it has left
        machine.reset()


def _used(folder):
    # Bytes of all files in a folder; 0 if there is none.
    try:
        entries = list(os.ilistdir(folder))
    except OSError:
        return 0
    used = 0
    for entry in entries:
        path = folder + entry[0]
        used += _used(path + "/") if entry[1] == _FOLDER else _size(path)
    return used


def _size(path):
    try:
        return os.stat(path)[6]
    except OSError:
        return 0


def _make_folder(path):
    try:
        os.mkdir(path)
    except OSError:  # it is there; if it cannot be, opening a file in it says so
        pass


def _remove(path):
    try:
        os.remove(path)
    except OSError:
        pass


def _copy(source, target):
    block = bytearray(_BLOCK_BYTES)
    with open(source, "rb") as old, open(target, "wb") as new:
        while True:
            count = old.readinto(block)
            if not count:
                break
            new.write(memoryview(block)[:count])
