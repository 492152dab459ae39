"""Fault: somebody who reads and writes at the broker attacks the updates of a board."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from dcompute.update_keys import board_key
from dcompute_sim.faults.effects import PUBLISHED
from dcompute_sim.faults.fault import For, NodeFault, Steps
from dcompute_sim.faults.injection import Injection
from dcompute_sim.first_version import update_key

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
    "impatient",
]

_STOLEN_KEY = board_key(bytes(32), "a-sister-board")
_HELLO = b"DCU2H"
_OFFER = b"DCU2O"
_PIECE = b"DCU2P"
_WANT = b"DCU2W"
_PROBE = b"DCU2Q"
_TRIAL, _UNDER_WAY = 1, 2  # flags of a hello
_OLD = {("old-hello", _PROBE): _HELLO, ("old-want", _PIECE): _WANT}  # what is said again after what


class UpdateAttack(NodeFault):
    """An attacker beside the board reads all of its update, and answers each message with one of its own.

    Its receipt is given when each of its ways has met the moment in which it could do harm: a probe that is
    changed harms nobody, whatever boards do with pieces.
    """

    effects = frozenset({PUBLISHED})
    unseen = (
        "not each of its ways met what it is meant for: a piece of an update (changed, cut, longer, "
        "repeated, out-of-order, foreign), another offer than the recorded one (replayed), a board that "
        "takes offers (escape) or is on trial (impatient), a second answer (old-hello) or question (old-want)"
    )
    remedy = "let it last while an update is under way, with `replayed` two: `at` before the first of them"
    needs_connection = False
    drawn = False  # what an attacker does is not chance's

    kind: Literal["update_attack"]
    heal_after: For
    how: How | Annotated[list[How], Field(min_length=1)] = Field(
        default="changed",
        description="What is sent beside the genuine message: it `changed` in a bit, `cut`, `longer` by a "
        "byte, `repeated`; the one before it (`out-of-order`); the first offer that was heard (`replayed`, "
        "once a second, and ahead of each later one); under another board's key, an offer of a version of "
        "its own and pieces of it (`foreign`), or of one with a path out of the slot (`escape`); under the "
        "board's own, an offer to each answer in which it is on trial, by a master that does not wait "
        "(`impatient`). To the master: the board's first answer to a probe, again to each later one "
        "(`old-hello`); its first question for a piece, again after each (`old-want`). Several in a list.",
    )

    def inject(self, act: Injection) -> Steps:
        unmet = set(self._ways())

        def met(how: How) -> None:
            if how in unmet:
                unmet.remove(how)
                if not unmet:
                    act.effect(PUBLISHED, self.details())

        attackers = [_Attacker(how, act, met) for how in self._ways()]
        topics = [attackers[0].topic, attackers[0].updates]

        def heard(topic: str, payload: bytes) -> list[tuple[str, bytes]]:
            return [said for attacker in attackers for said in attacker.heard(topic, payload)]

        leave: Callable[[], None] = yield from act.world.eavesdrop(act.key, topics, heard)
        yield from act.lasting(leave)

    def details(self) -> str:
        return ", ".join(self._ways())

    def _ways(self) -> list[How]:
        return self.how if isinstance(self.how, list) else [self.how]


class _Attacker:
    """What it says to what it hears."""

    def __init__(self, how: How, act: Injection, met: Callable[[How], None]) -> None:
        self.topic = f"{act.world.topics.task_of(act.node.node_id)}/update"
        self.updates = f"{act.world.topics.prefix}updates"
        self._how = how
        self._act = act
        node_id = act.node.node_id
        self._node = node_id.encode()
        self._own_key = update_key(node_id, act.world.topics.prefix.rstrip("/"))
        self._offer = b""
        self._before = b""
        self._said: dict[bytes, bytes] = {}  # the first hello and the first want of the board
        self._met = met
        self._replayed_s = 0.0

    def heard(self, topic: str, payload: bytes) -> list[tuple[str, bytes]]:
        to = self.topic
        if topic == self.updates:
            if payload[len(_HELLO) :].startswith(bytes([len(self._node)]) + self._node):
                self._said.setdefault(payload[: len(_HELLO)], payload)
            said = self._to_answer(payload)
        elif payload.startswith(_OFFER) and self._how == "old-want":
            said = []
            self._said.pop(_WANT, None)  # under another offer it is worth nothing
        elif old := self._said.get(_OLD.get((self._how, payload[: len(_PROBE)]), b"")):
            to, said = self.updates, [old]
        else:
            said = self._to_board(payload)
        if said and self._is_apt(payload):
            self._met(self._how)
        return [(to, message) for message in said]

    def _is_apt(self, payload: bytes) -> bool:
        """Say whether an answer to this is what the attack is for, or only what it does meanwhile."""
        match self._how:
            case "old-hello" | "old-want":
                return True
            case "foreign":
                return payload.startswith(_WANT)
            case "replayed":
                return payload.startswith(_OFFER) and payload != self._offer
            case "escape" | "impatient":
                if not payload.startswith(_HELLO):
                    return False
                flags = payload[len(_HELLO) + 1 + len(self._node) + 32]
                return bool(flags & _TRIAL) if self._how == "impatient" else not flags & (_TRIAL | _UNDER_WAY)
        return payload.startswith(_PIECE)

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
        """Answer each other offer, but not to every piece: the board repeats its question to the offer under
        way, the master its answer, and the attacker would do so without end."""
        due = genuine.startswith(_OFFER) or self._act.env.now - self._replayed_s >= 1
        if not self._offer or genuine == self._offer or not due:
            return []
        self._replayed_s = self._act.env.now
        return [self._offer]

    def _to_answer(self, said: bytes) -> list[bytes]:
        """Answer what a board says, before its master: whoever reads challenges and numbers can name them."""
        from dcompute.updates import messages  # here: most runs update nothing

        kind, head = said[: len(_HELLO)], bytes([len(self._node)]) + self._node
        facts = said[len(kind) + len(head) :]
        if not said[len(kind) :].startswith(head):
            return []
        if kind == _WANT and self._how == "foreign":
            return [messages.piece(_STOLEN_KEY, int.from_bytes(facts[:4], "big"), b"evil" * 9, end=True)]
        if kind != _HELLO:
            return []
        if self._how == "replayed":
            return [self._offer] if self._offer else []
        half = messages.NONCE_BYTES
        end = 2 * half
        trial = bool(facts[end] & 1)
        release = int.from_bytes(facts[end + 1 : end + 5], "big")
        hello = messages.Hello(facts[:half], facts[half:end], trial, b"", release, b"", b"", 0)
        if self._how in ("foreign", "escape") or (self._how == "impatient" and trial):
            path = "../main.py" if self._how == "escape" else "main.py"
            key = self._own_key if self._how == "impatient" else _STOLEN_KEY
            return [messages.offer(key, hello, _manifest(path), back=False)]
        return []


def _manifest(path: str) -> bytes:
    """Return the manifest of a version of the attacker's own, in one file."""
    about = {"ota": 2, "release": 9, "version": "evil", "confirm_s": 10, "bytes": 1}
    return json.dumps({**about, "files": {path: "0" * 32}}, sort_keys=True, separators=(",", ":")).encode()
