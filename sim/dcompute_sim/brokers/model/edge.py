"""The broker's edge: a transport's port, and whoever wants to be told."""

from __future__ import annotations

from typing import Protocol


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


class SilentObserver:
    """Observes nothing; for those who want to know of one thing only."""

    def session_opened(self, client_id: str, *, clean: bool, present: bool, taken_over: bool) -> None: ...
    def session_closed(self, client_id: str, reason: str) -> None: ...
    def connection_refused(self, client_id: str, reason: str) -> None: ...
    def will_published(self, client_id: str, topic: str) -> None: ...
    def message_dropped(self, client_id: str, topic: str, reason: str) -> None: ...
