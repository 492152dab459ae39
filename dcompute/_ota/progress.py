"""A board's way to a new version over the air, as the master sees it: no I/O, no clock, no randomness of its
own.

Rules:

1. Only a hello that answers the present probe decides anything: what runs, whether it was confirmed or rolled
   back, whether an offer is due. Statuses are unproven, so they only hurry a probe.
2. One offer for each probe's challenge (Nm), repeated byte for byte. Otherwise a replayed probe, which a
   board answers again under a new challenge of its own, would make the master displace its own session for
   ever, and use a keystream twice.
3. A want counts once: its number must be above the last one's. A want or state that is not under the present
   offer's key is passed over.
4. A board that takes in this very version from another master is watched, not disturbed.
5. The board asks for each next piece, so after a loss, a reconnection or a power cut this side only probes
   and offers anew; nothing has to be remembered for the board.

What breaks without each is shown by `tests/update/test_attacker.py`, which takes them away one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from dcompute._ota import messages
from dcompute._ota.messages import BadMessage, Code, Hello, Told, Want
from dcompute.bundle import Bundle
from dcompute.node_core import CONNECTED, DEAD, OFFLINE
from dcompute.protocol import PATIENCE_S

REPEAT_S = 15.0  # without a proven message the board is probed again
HURRY_S = 1.0  # a status hurries the next probe to this long after the last one
_NO_SLOTS = "it keeps no versions: put its program there by `dcompute deploy` first"
_DEAF = (
    "it does not answer to its key: another one is on it, or none (`dcompute deploy --key-file`), "
    "or it has no heap left to answer"
)

if TYPE_CHECKING:
    from dcompute.records import NodeInfo


class UpdateState(StrEnum):
    """How far a node is."""

    WAITING = "waiting"  # for it to be there
    OFFERED = "offered"
    SENDING = "sending"
    STAGED = "staged"  # all is there; it restarts when its work allows
    SWITCHING = "switching"
    CONFIRMED = "confirmed"  # it said, under its key, that it runs the new version for good
    ROLLED_BACK = "rolled back"
    REFUSED = "refused"
    FAILED = "failed"


OVER = frozenset({UpdateState.CONFIRMED, UpdateState.ROLLED_BACK, UpdateState.REFUSED, UpdateState.FAILED})
_OF_CODE = {
    Code.REFUSED: UpdateState.REFUSED,
    Code.FAILED: UpdateState.FAILED,
    Code.STAGED: UpdateState.STAGED,
    Code.SWITCHING: UpdateState.SWITCHING,
}


@dataclass(frozen=True)
class UpdateProgress:
    """A node's update at one moment. `reason` says why it failed; `sent_bytes` counts what the node has.

    `taken`: the node has accepted an offer of this version, so that its flash is touched.
    """

    node_id: str
    version: str
    state: UpdateState
    reason: str
    sent_bytes: int
    size_bytes: int
    taken: bool = False

    @property
    def over(self) -> bool:
        """Whether it has ended, well or not."""
        return self.state in OVER


class NodeUpdate:
    """One node's update. What its methods return is to be published on the node's update topic.

    Args:
        key: the board's (`dcompute.update_keys`).
        now_s: the time, as in every method.
        nonce: draws 16 bytes that nobody can foresee.
        back: go to this version although its release is not above the one that runs.
        taken: the node took an offer of this version in an earlier life of the master's; if it has gone back
            since, that is the end of it, and no offer is made.
        patience_s: how long nothing may move before it counts as failed.
    """

    def __init__(
        self,
        node_id: str,
        bundle: Bundle,
        key: bytes,
        *,
        now_s: float,
        nonce: Callable[[], bytes],
        back: bool = False,
        taken: bool = False,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.node_id = node_id
        self.bundle = bundle
        self.state = UpdateState.WAITING
        self.reason = ""
        self.sent_bytes = 0
        self._manifest = bundle.manifest()
        self._digest = messages.digest_of(self._manifest)
        self._key = key
        self._nonce = nonce
        self._back = back
        self._patience_s = patience_s
        self._moved_s = now_s
        self._heard_s = now_s  # when it last said something proven, or was asked to
        self._probed_s = float("-inf")
        self._nm = b""  # of the present probe
        self._offer = b""  # the one of that probe, once made
        self._offered = b""  # the last one, of whichever probe, and what proves what is said under it
        self._session = b""
        self._number = 0  # of the last want under it
        self._free_bytes = 0  # of its heap, when it last answered a probe
        self._taken = taken  # the node has accepted an offer of ours
        self._unproven = "it is not there, or not ready"  # what its statuses, which anybody can send, suggest
        self._paths = sorted(bundle.files)

    def progress(self) -> UpdateProgress:
        """Tell how far it is."""
        size = self.bundle.size_bytes
        return UpdateProgress(
            self.node_id, self.bundle.version, self.state, self.reason, self.sent_bytes, size, self._taken
        )

    # --- what happens -----------------------------------------------------------------------------------

    def seen(self, status: str, capabilities: Mapping[str, object], now_s: float) -> list[bytes]:
        """Take in that the node has this status (live, or the last one known). Unproven, so it only hurries a
        probe."""
        if self.state in OVER or status in (CONNECTED, DEAD, OFFLINE):
            return []
        self._unproven = _DEAF if "version" in capabilities else _NO_SLOTS
        return self._probe(now_s) if now_s - self._probed_s >= HURRY_S else []

    def received(self, message: bytes, now_s: float) -> list[bytes]:
        """Take in that the node is said to have sent this. Raises BadMessage for what is not proven or comes
        again."""
        if self.state in OVER:
            return []
        if message.startswith(b"DCU2H"):
            return self._greet(messages.read_hello(message, self.node_id, self._key), now_s)
        if not self._session:
            raise BadMessage("about an offer that was not made")
        said = messages.read_want(message, self.node_id, self._session)
        return self._told(said, now_s) if isinstance(said, Told) else self._answer(said, now_s)

    def tick(self, now_s: float) -> list[bytes]:
        """Time has passed; to be called about once a second."""
        if self.state in OVER:
            return []
        if now_s - self._moved_s > self._bound_s():
            self._move(UpdateState.FAILED, now_s, self._silence())
        elif now_s - max(self._heard_s, self._probed_s) > REPEAT_S:
            return self._probe(now_s)
        return []

    # --- probes and offers ------------------------------------------------------------------------------

    def _probe(self, now_s: float) -> list[bytes]:
        self._probed_s = now_s
        self._nm, self._offer = self._nonce(), b""
        return [messages.probe(self._key, self._nm)]

    def _greet(self, hello: Hello, now_s: float) -> list[bytes]:
        if hello.nonce != self._nm:
            raise BadMessage("a hello to another probe")
        self._heard_s = now_s
        self._free_bytes = hello.free_heap_bytes
        if hello.trial:  # it decides itself whether this version stays; the next probe tells
            return []
        if hello.running == self._digest:
            self.sent_bytes = self.bundle.size_bytes
            self._move(UpdateState.CONFIRMED, now_s)
            return []
        if self._taken and hello.failed == self._digest:
            self._move(
                UpdateState.ROLLED_BACK, now_s, "the new version did not get ready; the one before runs again"
            )
            return []
        if hello.session != self._digest:
            return self._offer_to(hello, now_s)
        if (
            self._offered
        ):  # a message was lost: to its offer, repeated, the board wants the same under a new number
            return [self._offered]
        self._move(UpdateState.OFFERED, now_s, "another master brings it this version")
        return []

    def _offer_to(self, hello: Hello, now_s: float) -> list[bytes]:
        if not self._offer:
            self._offer = messages.offer(self._key, hello, self._manifest, back=self._back)
            self._session = messages.session_key(self._key, hello, self._offer)
            self._offered, self._number = self._offer, 0
        if self.state is UpdateState.WAITING:
            self._move(UpdateState.OFFERED, now_s)
        return [self._offer]

    # --- what it says under an offer --------------------------------------------------------------------

    def _told(self, said: Told, now_s: float) -> list[bytes]:
        self._heard_s = now_s
        if said.code in (Code.STAGED, Code.SWITCHING):
            self._taken = True
            self.sent_bytes = self.bundle.size_bytes
        self._move(_OF_CODE[said.code], now_s, said.reason)
        return []

    def _answer(self, want: Want, now_s: float) -> list[bytes]:
        data = self.bundle.files.get(want.path)
        if want.number <= self._number:
            raise BadMessage("a want that was answered")
        if data is None:
            raise BadMessage(f"a want of {want.path!r}, which was not offered")
        self._taken = True
        self._heard_s = now_s
        self._number = want.number
        has_bytes = (
            sum(len(self.bundle.files[p]) for p in self._paths[: self._paths.index(want.path)]) + want.at
        )
        if has_bytes > self.sent_bytes or self.state is not UpdateState.SENDING:
            self._moved_s = now_s
        self.sent_bytes = min(has_bytes, self.bundle.size_bytes)
        self._move(UpdateState.SENDING, self._moved_s)
        end = want.at + messages.PIECE_BYTES
        return [messages.piece(self._session, want.number, data[want.at : end], end=end >= len(data))]

    def _move(self, state: UpdateState, now_s: float, reason: str = "") -> None:
        if state is not self.state:
            self.state, self.reason, self._moved_s = state, reason, now_s

    def _bound_s(self) -> float:
        """Bound the time it has: a board that restarts may try twice before it goes back to the version
        before."""
        restarts = self.state in (UpdateState.STAGED, UpdateState.SWITCHING)
        return self._patience_s + (2 * self.bundle.confirm_s if restarts else 0)

    def _silence(self) -> str:
        room = f" ({self._free_bytes} bytes of its heap were free)"
        words = {
            UpdateState.WAITING: self._unproven,
            UpdateState.OFFERED: f"no answer to the offer{room}",
            UpdateState.SENDING: f"it asks for nothing more{room}",
            UpdateState.STAGED: "it has all, but does not restart",
            UpdateState.SWITCHING: f"it has not come back from its restart, or has no heap to say so{room}",
        }
        return f"{words[self.state]}: nothing for {self._bound_s():.0f} s"


class Updates:
    """The updates under way, by node. Messages to publish are pairs (node id, payload)."""

    def __init__(self) -> None:
        self._of: dict[str, NodeUpdate] = {}
        self._told: dict[str, UpdateState] = {}

    def begin(self, update: NodeUpdate) -> None:
        """Add an update; one of the same node that is not over is given up."""
        self._of[update.node_id] = update
        self._told.pop(update.node_id, None)

    def progress(self) -> list[UpdateProgress]:
        """Return all of them, ended ones included."""
        return [update.progress() for update in self._of.values()]

    def under_way(self) -> bool:
        """Tell whether one is not over."""
        return any(update.state not in OVER for update in self._of.values())

    def news(self) -> list[UpdateProgress]:
        """Return those whose state has changed since the last call."""
        changed = [u for u in self._of.values() if self._told.get(u.node_id) is not u.state]
        self._told |= {update.node_id: update.state for update in changed}
        return [update.progress() for update in changed]

    def seen(self, info: NodeInfo, now_s: float) -> list[tuple[str, bytes]]:
        """Take in a node's record, as `get_node_info` gives it, that is new."""
        update = self._of.get(info["node_id"])
        if update is None:
            return []
        sent = update.seen(info["status"], info["capabilities"], now_s)
        return [(update.node_id, payload) for payload in sent]

    def received(self, message: bytes, now_s: float) -> list[tuple[str, bytes]]:
        """Take in a message on the topic `updates`. Raises BadMessage."""
        node_id = messages.sender_of(message)
        update = self._of.get(node_id)
        sent = [] if update is None else update.received(message, now_s)
        return [(node_id, payload) for payload in sent]

    def tick(self, now_s: float) -> list[tuple[str, bytes]]:
        """Time has passed."""
        return [(u.node_id, payload) for u in self._of.values() for payload in u.tick(now_s)]
