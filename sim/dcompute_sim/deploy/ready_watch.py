"""Waits at the broker for boards to say that they are ready: the only proof that a version came up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from dcompute.events import MasterEvent, MasterObserver
from dcompute.master_transport import MasterNodeTransport
from dcompute.security import Tls
from dcompute_sim.deploy.board_config import Watchpoint
from dcompute_sim.deploy.deploy_errors import SomethingMissing

_ALIVE = ("ready", "busy")
_CONNECT_S = 10.0
_LOOK_S = 0.25


@dataclass(frozen=True)
class ReadySeen:
    """What the broker knows of a node.

    Attributes:
        life: what all incarnations of one run of its program share.
        failed: the version that did not come up there, so that it went back.
    """

    status: str
    life: str
    version: str | None
    failed: str | None = None

    @property
    def alive(self) -> bool:
        return self.status in _ALIVE


UNSEEN = ReadySeen("unknown", "", None)


class ReadyWatcher:
    """Follows all nodes at one broker."""

    def __init__(self, point: Watchpoint, news: MasterObserver | None = None) -> None:
        """Connect; SomethingMissing when the broker cannot be reached. `news`: MasterNodeTransport's
        observer."""
        self.point = point
        self._news = news
        self._changed = threading.Event()
        try:
            self._master = MasterNodeTransport(
                point.host,
                point.port,
                username=point.user,
                password=point.password,
                tls=(Tls(point.ca) if point.ca else True) if point.tls else None,
                namespace=point.namespace,
                observer=self._observe,
            )
        except (ValueError, OSError) as error:
            raise SomethingMissing(f"broker {point}: {error}") from None
        if not self._master.start(_CONNECT_S):
            reason = self._master.last_error or f"no answer within {_CONNECT_S:.0f} s"
            self._master.stop(0)
            raise SomethingMissing(
                f"broker {point} cannot be reached from here: {reason}; nothing was changed. Start it, say "
                "where it is (--broker mqtt://HOST:PORT), or deploy without waiting for it (--no-wait)"
            )

    def close(self) -> None:
        """Disconnect."""
        self._master.stop(1.0)

    def look(self, node_id: str) -> ReadySeen:
        """Return what is known of a node now."""
        info = self._master.get_node_info(node_id)
        if not isinstance(info, dict):
            return UNSEEN
        told = info.get("capabilities") or {}
        version, failed = (str(told[key]) if key in told else None for key in ("version", "failed"))
        life = str(info.get("inc") or "").split(".")[0]
        return ReadySeen(str(info["status"]), life, version, failed)

    def known(self, node_id: str, timeout_s: float) -> ReadySeen:
        """Look as `look` does, but give what is retained of a node so long to arrive."""
        give_up = time.monotonic() + timeout_s
        while (seen := self.look(node_id)) == UNSEEN and time.monotonic() < give_up:
            self._changed.wait(_LOOK_S)
            self._changed.clear()
        return seen

    def wait(
        self,
        node_id: str,
        before: ReadySeen,
        timeout_s: float,
        meanwhile: Callable[[float], None] | None = None,
    ) -> ReadySeen | None:
        """Wait until the node is alive in another life than `before`; None when the time is over.

        Args:
            meanwhile: called again and again, to wait for so many seconds at most.
        """
        give_up = time.monotonic() + timeout_s
        while True:
            seen = self.look(node_id)
            if seen.alive and seen.life != before.life:
                return seen
            if time.monotonic() >= give_up:
                return None
            if meanwhile is not None:
                meanwhile(_LOOK_S)
            else:
                self._changed.wait(_LOOK_S)
                self._changed.clear()

    def _observe(self, event: MasterEvent) -> None:
        self._changed.set()
        if self._news is not None:
            self._news(event)


class Watchers:
    """One watcher a broker, shared by the boards that are to appear there."""

    def __init__(self, news: MasterObserver | None = None) -> None:
        self._lock = threading.Lock()
        self._news = news
        self._at: dict[Watchpoint, ReadyWatcher | SomethingMissing] = {}

    def at(self, point: Watchpoint) -> ReadyWatcher:
        """Return the watcher at this broker. Raises SomethingMissing if it cannot be reached; it is asked
        once only."""
        with self._lock:
            if point not in self._at:
                try:
                    self._at[point] = ReadyWatcher(point, self._news)
                except SomethingMissing as error:
                    self._at[point] = error
            found = self._at[point]
        if isinstance(found, SomethingMissing):
            raise found
        return found

    def close(self) -> None:
        for watcher in self._at.values():
            if isinstance(watcher, ReadyWatcher):
                watcher.close()
