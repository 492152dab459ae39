"""The broker's edge: a transport's port, one connection on it, and whoever wants to be told."""

from __future__ import annotations

from typing import Protocol

from dcompute_sim.brokers.model.keepalive import KeepaliveGroup
from dcompute_sim.brokers.model.packets import Will
from dcompute_sim.brokers.model.session import Session


class Port(Protocol):
    """The broker's end of a transport connection. Neither method may call back into the broker."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None:
        """Close after what was written (FIN)."""
        ...


class Observer(Protocol):
    """Is told what the broker decides; for traces and counters."""

    def session_opened(self, client_id: str, *, clean: bool, present: bool, taken_over: bool) -> None: ...

    def session_closed(self, client_id: str, reason: str) -> None: ...

    def connection_refused(self, client_id: str, reason: str) -> None:
        """It never became a session; the client id is "" when it was not read."""
        ...

    def will_published(self, client_id: str, topic: str) -> None: ...

    def message_dropped(self, client_id: str, topic: str, reason: str) -> None: ...


class Connection:
    """One transport connection and, after its CONNECT, the session on it."""

    __slots__ = ("group", "is_open", "last_in_s", "pending", "port", "session", "wanted", "will", "write")

    def __init__(self, port: Port, now_s: float) -> None:
        self.port = port
        self.write = port.write
        self.is_open = True
        self.session: Session | None = None
        self.will: Will | None = None
        self.last_in_s = now_s  # when the last whole packet came [MQTT-3.1.2-24]
        self.group: KeepaliveGroup | None = None  # None: keepalive 0, may be silent for ever (3.1.2.10)
        self.pending: bytearray | None = None  # the beginning of a packet whose end has not come
        self.wanted = 0  # bytes `pending` needs before it is worth looking at again

    @property
    def client_id(self) -> str:
        """The client's id, "" before its CONNECT was accepted."""
        return self.session.client_id if self.session is not None else ""
