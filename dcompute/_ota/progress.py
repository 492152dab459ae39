"""A node's way to a new version over the air, as the master sees it: no I/O, no clock of its own.

The board asks for each next piece, so this side only offers, answers, and judges how it ended. An offer is
signed for one connection of the board; after each reconnection or reboot it is made again.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dcompute.bundle import Bundle
from dcompute.node_core import CONNECTED, DEAD, OFFLINE
from dcompute.protocol import UpdateReport

PIECE_BYTES = 512  # with its envelope under 1 KiB, the least that a board takes
REPEAT_S = 15.0  # without an answer the offer is made again
PATIENCE_S = 300.0


class UpdateState(StrEnum):
    """How far a node is."""

    WAITING = "waiting"  # for it to be there
    OFFERED = "offered"
    SENDING = "sending"
    STAGED = "staged"  # all is there; it restarts when its work allows
    SWITCHING = "switching"
    CONFIRMED = "confirmed"  # ready, and tells the new version
    ROLLED_BACK = "rolled back"
    REFUSED = "refused"
    FAILED = "failed"


OVER = frozenset({UpdateState.CONFIRMED, UpdateState.ROLLED_BACK, UpdateState.REFUSED, UpdateState.FAILED})


@dataclass(frozen=True)
class UpdateProgress:
    """A node's update at one moment. `reason` says why it failed; `sent_bytes` counts what the node has."""

    node_id: str
    version: str
    state: UpdateState
    reason: str
    sent_bytes: int
    size_bytes: int

    @property
    def over(self) -> bool:
        """Whether it has ended, well or not."""
        return self.state in OVER


class NodeUpdate:
    """One node's update. What its methods return is to be published on the node's update topic.

    Args:
        key: signs the offers; None: unsigned, which boards refuse unless told otherwise.
        now_s: the time, as in every method.
        patience_s: how long nothing may move before it counts as failed.
    """

    def __init__(
        self,
        node_id: str,
        bundle: Bundle,
        key: bytes | None,
        *,
        now_s: float,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.node_id = node_id
        self.bundle = bundle
        self.state = UpdateState.WAITING
        self.reason = ""
        self.sent_bytes = 0
        self._key = key
        self._patience_s = patience_s
        self._moved_s = now_s
        self._offered_s = now_s
        self._inc = ""  # of the connection that the last offer was for
        self._taken = False  # the node has accepted an offer of ours
        self._paths = sorted(bundle.files)

    def progress(self) -> UpdateProgress:
        """How far it is."""
        return UpdateProgress(
            self.node_id,
            self.bundle.version,
            self.state,
            self.reason,
            self.sent_bytes,
            self.bundle.size_bytes,
        )

    # --- what happens -----------------------------------------------------------------------------------

    def seen(self, status: str, inc: str, capabilities: Mapping[str, Any], now_s: float) -> list[bytes]:
        """The node has this status (live, or the last one known)."""
        if self.state in OVER or not inc or status in (CONNECTED, DEAD, OFFLINE):
            return []
        version = capabilities.get("version")
        if version == self.bundle.version:
            self.sent_bytes = self.bundle.size_bytes
            self._move(UpdateState.CONFIRMED, now_s)
        elif "version" not in capabilities:
            self._move(
                UpdateState.FAILED,
                now_s,
                "it keeps no versions: put its program there by `dcompute deploy` first",
            )
        elif self._taken and capabilities.get("failed") == self.bundle.version:
            self._move(
                UpdateState.ROLLED_BACK, now_s, f"the new version did not get ready; {version} runs again"
            )
        elif inc != self._inc:
            return self._offer(inc, now_s)
        return []

    def reported(self, report: UpdateReport, now_s: float) -> list[bytes]:
        """The node has said something about an update; what is about another one is passed over."""
        about = (self.bundle.version, "")  # "": the board had no memory to read which one it is
        if self.state in OVER or report.version not in about or report.inc != self._inc:
            return []
        if report.want is not None:
            return self._answer(report.want, report.at, now_s)
        if report.state == "refused":
            self._move(UpdateState.REFUSED, now_s, report.reason)
        elif report.state == "failed":
            self._move(UpdateState.FAILED, now_s, report.reason)
        elif report.state in (UpdateState.STAGED, UpdateState.SWITCHING):
            self._taken = True
            self.sent_bytes = self.bundle.size_bytes
            self._move(UpdateState(report.state), now_s)
        return []

    def tick(self, now_s: float) -> list[bytes]:
        """Time has passed; to be called about once a second."""
        if self.state in OVER:
            return []
        if now_s - self._moved_s > self._bound_s():
            self._move(UpdateState.FAILED, now_s, self._silence())
        elif self.state in (UpdateState.OFFERED, UpdateState.SENDING) and now_s - self._offered_s > REPEAT_S:
            return self._offer(self._inc, now_s)
        return []

    # --- offers and pieces ------------------------------------------------------------------------------

    def _offer(self, inc: str, now_s: float) -> list[bytes]:
        self._inc = inc
        self._offered_s = now_s
        if self.state is UpdateState.WAITING:
            self._move(UpdateState.OFFERED, now_s)
        # To the byte: a board checks and keeps the manifest where it lies in the message.
        proof = b""
        if self._key is not None:
            proof = b',"sig":"%s"' % self.bundle.sign(self._key, inc).encode()
        return [b'{"offer":%s%s}' % (self.bundle.manifest(), proof)]

    def _answer(self, path: str, at: int, now_s: float) -> list[bytes]:
        data = self.bundle.files.get(path)
        if data is None:
            return []
        self._taken = True
        self._offered_s = now_s
        has_bytes = sum(len(self.bundle.files[p]) for p in self._paths[: self._paths.index(path)]) + at
        if has_bytes > self.sent_bytes or self.state is not UpdateState.SENDING:
            self._moved_s = now_s
        self.sent_bytes = min(has_bytes, self.bundle.size_bytes)
        self._move(UpdateState.SENDING, self._moved_s)
        piece = {
            "version": self.bundle.version,
            "path": path,
            "at": at,
            "data": b64encode(data[at : at + PIECE_BYTES]).decode(),
            "end": at + PIECE_BYTES >= len(data),
        }
        return [json.dumps(piece).encode()]

    def _move(self, state: UpdateState, now_s: float, reason: str = "") -> None:
        if state is not self.state:
            self.state, self.reason, self._moved_s = state, reason, now_s

    def _bound_s(self) -> float:
        """A board that restarts may try twice before it goes back to the version before."""
        restarts = self.state in (UpdateState.STAGED, UpdateState.SWITCHING)
        return self._patience_s + (2 * self.bundle.confirm_s if restarts else 0)

    def _silence(self) -> str:
        words = {
            UpdateState.WAITING: "it is not there, or not ready",
            UpdateState.OFFERED: "it does not answer the offer",
            UpdateState.SENDING: "it asks for nothing more",
            UpdateState.STAGED: "it has all, but does not restart",
            UpdateState.SWITCHING: "it has not come back from its restart",
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
        """All of them, ended ones included."""
        return [update.progress() for update in self._of.values()]

    def under_way(self) -> bool:
        """Whether one is not over."""
        return any(update.state not in OVER for update in self._of.values())

    def news(self) -> list[UpdateProgress]:
        """Those whose state has changed since the last call."""
        changed = [u for u in self._of.values() if self._told.get(u.node_id) is not u.state]
        self._told |= {update.node_id: update.state for update in changed}
        return [update.progress() for update in changed]

    def seen(self, info: Mapping[str, Any], now_s: float) -> list[tuple[str, bytes]]:
        """A node's record, as `get_node_info` gives it, is new."""
        update = self._of.get(info["node_id"])
        if update is None:
            return []
        sent = update.seen(info["status"], info["inc"] or "", info["capabilities"], now_s)
        return [(update.node_id, payload) for payload in sent]

    def reported(self, report: UpdateReport, now_s: float) -> list[tuple[str, bytes]]:
        """A message on the topic `updates`."""
        update = self._of.get(report.node_id)
        sent = [] if update is None else update.reported(report, now_s)
        return [(report.node_id, payload) for payload in sent]

    def tick(self, now_s: float) -> list[tuple[str, bytes]]:
        """Time has passed."""
        return [(u.node_id, payload) for u in self._of.values() for payload in u.tick(now_s)]
