"""Fault: somebody who reads and writes at the broker attacks the updates of a board."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Literal

from pydantic import Field

from dcompute.update_keys import board_key
from dcompute_sim.faults.effects import PUBLISHED
from dcompute_sim.faults.fault import For, NodeFault, Steps
from dcompute_sim.faults.injection import Injection

How = Literal[
    "changed",
    "cut",
    "longer",
    "repeated",
    "out-of-order",
    "replayed",
    "foreign",
    "escape",
    "old-hello",
    "old-want",
]

_STOLEN_KEY = board_key(bytes(32), "a-sister-board")
_HELLO = b"DCU2H"
_OFFER = b"DCU2O"
_PIECE = b"DCU2P"
_WANT = b"DCU2W"
_PROBE = b"DCU2Q"
_OLD = {("old-hello", _PROBE): _HELLO, ("old-want", _PIECE): _WANT}  # what is said again after what


class UpdateAttack(NodeFault):
    """An attacker beside the board reads all of its update, and answers each message with one of its own."""

    effects = frozenset({PUBLISHED})
    unseen = "no message of an update of this board came by"
    remedy = "let it last while an update is under way: `at` before that of the update"
    needs_connection = False
    drawn = False  # what an attacker does is not chance's

    kind: Literal["update_attack"]
    heal_after: For
    how: How = Field(
        default="changed",
        description="What is sent beside the genuine message: it `changed` in a bit, `cut`, `longer` by a "
        "byte, `repeated`; the one before it (`out-of-order`); the first offer that was heard (`replayed`, "
        "once a second); an offer under another board's key, of a version of its own (`foreign`) or with a "
        "path out of the slot (`escape`). To the master: the board's first answer to a probe, again to each "
        "later one (`old-hello`); its first question for a piece, again after each (`old-want`).",
    )

    def inject(self, act: Injection) -> Steps:
        attacker = _Attacker(self.how, act)
        leave: Callable[[], None] = yield from act.world.eavesdrop(
            act.key, [attacker.topic, attacker.updates], attacker.heard
        )
        yield from act.lasting(leave)

    def details(self) -> str:
        return self.how


class _Attacker:
    """What it says to what it hears."""

    def __init__(self, how: How, act: Injection) -> None:
        self.topic = f"{act.world.topics.task_of(act.node.node_id)}/update"
        self.updates = f"{act.world.topics.prefix}updates"
        self._how = how
        self._act = act
        self._node = act.node.node_id.encode()
        self._offer = b""
        self._before = b""
        self._said: dict[bytes, bytes] = {}  # the first hello and the first want of the board
        self._bitten = False
        self._replayed_s = 0.0

    def heard(self, topic: str, payload: bytes) -> list[tuple[str, bytes]]:
        to = self.topic
        if topic == self.updates:
            if payload[len(_HELLO) :].startswith(bytes([len(self._node)]) + self._node):
                self._said.setdefault(payload[: len(_HELLO)], payload)
            said = self._to_hello(payload)
        elif payload.startswith(_OFFER) and self._how == "old-want":
            said = []
            self._said.pop(_WANT, None)  # under another offer it is worth nothing
        elif old := self._said.get(_OLD.get((self._how, payload[: len(_PROBE)]), b"")):
            to, said = self.updates, [old]
        else:
            said = self._to_board(payload)
        if said and not self._bitten:
            self._bitten = True
            self._act.effect(PUBLISHED, f"{self._how}: {len(said[0])} bytes to {to}")
        return [(to, message) for message in said]

    def _to_board(self, genuine: bytes) -> list[bytes]:
        before, self._before = self._before, genuine if genuine.startswith(_PIECE) else self._before
        if genuine.startswith(_OFFER) and not self._offer:
            self._offer = genuine
        middle = len(genuine) // 2
        match self._how:
            case "changed":
                return [genuine[:middle] + bytes([genuine[middle] ^ 1]) + genuine[middle + 1 :]]
            case "cut":
                return [genuine[:middle], genuine[:-1]]
            case "longer":
                return [genuine + b"\0"]
            case "repeated":
                return [genuine]
            case "out-of-order":
                return [before] if before else []
            case "replayed":
                return self._replay(genuine)
        return []

    def _replay(self, genuine: bytes) -> list[bytes]:
        """Not to every message: the board repeats its question to the offer under way, the master its answer,
        and the attacker would do so without end."""
        due = self._act.env.now - self._replayed_s >= 1
        if not self._offer or genuine == self._offer or not due:
            return []
        self._replayed_s = self._act.env.now
        return [self._offer]

    def _to_hello(self, said: bytes) -> list[bytes]:
        """To a board's answer, an offer before its master's: whoever reads the challenges can name them."""
        from dcompute.updates import messages  # here: most runs update nothing

        head = _HELLO + bytes([len(self._node)]) + self._node
        if self._how not in ("foreign", "escape") or not said.startswith(head):
            return []
        facts = said[len(head) :]
        half = messages.NONCE_BYTES
        end = 2 * half
        release = int.from_bytes(facts[end + 1 : end + 5], "big")
        hello = messages.Hello(facts[:half], facts[half:end], False, b"", release, b"", b"", 0)
        path = "../main.py" if self._how == "escape" else "main.py"
        manifest = {
            "ota": 2,
            "release": 9,
            "version": "evil",
            "confirm_s": 10,
            "bytes": 1,
            "files": {path: "0" * 32},
        }
        text = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
        return [messages.offer(_STOLEN_KEY, hello, text, back=False)]
