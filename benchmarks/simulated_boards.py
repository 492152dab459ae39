"""Boards that take updates, simulated to the byte: what the master says is read as the firmware reads it, and
answered as the firmware answers. No I/O, no clock, no MicroPython, so that there can be a thousand.

The messages are written down once more here, from docs/protocol.md, and not taken from the master's side.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
from dataclasses import dataclass, field

ZEROS = bytes(16)
_RESTART_S = 3.0
_UP_S = 2.0  # from its start to the confirmation
_IDLE_S = 60.0  # an update that stands still for so long makes way for another offer
_STAGED, _SWITCHING, _REFUSED = 3, 4, 1


class Speaker:
    """Says what a board would, and reads what it is sent."""

    def __init__(self, node_id: str, key: bytes) -> None:
        self.node = bytes([len(node_id)]) + node_id.encode()
        self.key = key
        self.nonces = itertools.count(1)

    def say(self, key: bytes, body: bytes) -> bytes:
        return body + hmac.digest(key, body, "sha256")[:16]

    def hello(
        self,
        probe: bytes,
        *,
        trial: bool = False,
        running: bytes = ZEROS,
        failed: bytes = ZEROS,
        session: bytes = b"",
        release: int = 1,
    ) -> bytes:
        """Answer a probe."""
        assert probe == self.say(self.key, probe[:21])
        flags = bytes([trial | (2 if session else 0)])
        facts = flags + release.to_bytes(4, "big") + running + failed + (session or ZEROS) + bytes(4)
        nonces = probe[5:21] + next(self.nonces).to_bytes(16, "big")
        return self.say(self.key, b"DCU2H" + self.node + nonces + facts)

    def session(self, offer: bytes) -> bytes:
        """What proves all that is said under an offer."""
        return hmac.digest(self.key, b"DCU2K" + offer[5:37] + offer[-16:], "sha256")

    def want(self, offer: bytes, number: int, at: int, path: str) -> bytes:
        numbers = number.to_bytes(4, "big") + at.to_bytes(4, "big")
        return self.say(self.session(offer), b"DCU2W" + self.node + numbers + path.encode())

    def state(self, offer: bytes, code: int, reason: str = "") -> bytes:
        return self.say(self.session(offer), b"DCU2S" + self.node + bytes([code]) + reason.encode())

    def manifest(self, offer: bytes) -> bytes:
        """The version that an offer is of."""
        assert offer == self.say(self.key, offer[:-16])
        return shown(hmac.digest(self.key, b"DCU2E" + offer[5:37], "sha256"), offer[42:-16])

    def piece(self, offer: bytes, message: bytes) -> tuple[int, bool, bytes]:
        """What a piece says: number, whether it is the last, data."""
        session = self.session(offer)
        assert message[:5] == b"DCU2P"
        assert message == self.say(session, message[:-16])
        data = shown(hmac.digest(session, b"E", "sha256"), message[10:-16], message[5:9])
        return int.from_bytes(message[5:9], "big"), bool(message[9]), data


def shown(stream: bytes, hidden: bytes, suffix: bytes = b"") -> bytes:
    """What was hidden under a keystream."""
    blocks = range(0, len(hidden), 32)
    pads = (hashlib.sha256(stream + (at // 32).to_bytes(4, "big") + suffix).digest() for at in blocks)
    return bytes(a ^ b for a, b in zip(hidden, b"".join(pads), strict=False))


@dataclass
class SimulatedBoard:
    """One board, and what becomes of it.

    Args:
        running: digest of the manifest of the version that it runs.
        broken: versions (by name) that do not come up on it.
        silent: it is switched off.

    Attributes:
        took: versions that it accepted an offer of, each time it did.
        version: the name of the one that runs.
    """

    node_id: str
    key: bytes
    version: str
    running: bytes
    release: int = 1
    broken: frozenset[str] = frozenset()
    silent: bool = False
    took: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._speaker = Speaker(self.node_id, self.key)
        self._failed, self._trial = ZEROS, False
        self._offer = self._asked = b""
        self._new: dict[str, object] = {}
        self._files: list[str] = []
        self._digest = ZEROS
        self._number = self._at = 0
        self._moved_s = 0.0
        self._due_s: float | None = None  # of its next step by itself
        self._before: tuple[str, bytes, int] = ("", b"", 0)

    @property
    def is_up(self) -> bool:
        """Whether it hears anything."""
        return not self.silent and (self._due_s is None or self._trial)

    def tick(self, now_s: float) -> bool:
        """Time has passed; whether it has just connected."""
        if self._due_s is None or now_s < self._due_s:
            return False
        if not self._trial:  # it has restarted with the new version
            self._before = self.version, self.running, self.release
            self._trial = True
            breaks = self._new["version"] in self.broken
            self._due_s = now_s + (2 * float(str(self._new["confirm_s"])) if breaks else _UP_S)
            self.version, self.running = str(self._new["version"]), self._digest
            self.release = int(str(self._new["release"]))
            return not breaks
        self._due_s, self._trial, self._offer = None, False, b""
        if self.version in self.broken:
            self._failed = self.running
            self.version, self.running, self.release = self._before
        return True

    def hear(self, message: bytes, now_s: float) -> list[bytes]:
        """A message on its topic; what it answers."""
        if not self.is_up or (self._trial and self.version in self.broken):
            return []
        kind = message[4:5]
        if kind == b"Q":
            session = self._digest if self._offer and now_s - self._moved_s < _IDLE_S else b""
            facts = {"running": self.running, "failed": self._failed, "release": self.release}
            self._hello = self._speaker.hello(message, trial=self._trial, session=session, **facts)  # type: ignore[arg-type]
            return [self._hello]
        if kind == b"O":
            return [self._asked] if message == self._offer else self._offered(message, now_s)
        number, ends, data = self._speaker.piece(self._offer, message)
        if number != self._number:
            return []
        self._at += len(data)
        if ends:
            self._files.pop(0)
            self._at = 0
        return self._next(now_s)

    def _offered(self, message: bytes, now_s: float) -> list[bytes]:
        nonces = self._hello[6 + len(self.node_id) :][:32]
        if message[5:37] != nonces or self._trial:
            return []
        manifest = self._speaker.manifest(message)
        self._new = json.loads(manifest)
        back = message[37] == 1 and int.from_bytes(message[38:42], "big") == self.release
        if not back and int(str(self._new["release"])) <= self.release:
            return [self._speaker.state(message, _REFUSED, "not above the release that runs")]
        self._offer, self._digest = message, hashlib.sha256(manifest).digest()[:16]
        self._files = sorted(self._new["files"])  # type: ignore[call-overload]
        self._number = self._at = 0
        self.took.append(str(self._new["version"]))
        return self._next(now_s)

    def _next(self, now_s: float) -> list[bytes]:
        self._moved_s = now_s
        if self._files:
            self._number += 1
            self._asked = self._speaker.want(self._offer, self._number, self._at, self._files[0])
            return [self._asked]
        self._due_s = now_s + _RESTART_S
        return [self._speaker.state(self._offer, code) for code in (_STAGED, _SWITCHING)]
