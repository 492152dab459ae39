"""What a lasting link asks of the transport that it serves, and tells it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dcompute._mqtt.paho_session import Subscription

Outgoing = tuple[str, bytes, bool]  # topic, payload, retain


class LinkOwner(Protocol):
    """The transport a link serves. All calls come on the driver's loop."""

    def link_will(self) -> Outgoing | None:
        """Return the last will of the connection about to be made."""

    def link_topics(self) -> Sequence[Subscription]:
        """Return what to subscribe to, before anything is sent: the broker has accepted the connection."""

    def link_extras(self) -> Sequence[Subscription]:
        """Tell what to subscribe to if the broker allows it."""

    def link_up(self) -> Sequence[Outgoing]:
        """Subscribed: returns what is to be sent before anything held."""

    def link_message(self, topic: str, payload: bytes, retained: bool) -> None: ...

    def link_down(self, reason: str) -> None:
        """Take in that a connection that was up is gone."""

    def link_failed(self, reason: str) -> None:
        """Take in that an attempt to connect failed; another one follows."""

    def link_dropped(self, message: Outgoing) -> None:
        """Too much was held: this oldest message is lost."""

    def link_refused(self, message: Outgoing, held: bool, reason: str) -> Outgoing | None:
        """Take in that the broker has closed the connection over this message, again and again, so it is set
        aside; returns what to send instead."""


__all__ = ["LinkOwner", "Outgoing"]
