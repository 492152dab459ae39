"""A client beside nodes and master: publishes what a scenario injects, reads what is retained at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dcompute.node_core import Topics
from dcompute.protocol import Rejected, StatusMessage, decode
from dcompute_sim.director.one_connection import OneConnection
from dcompute_sim.interfaces.world import Machine

_NOTHING = "nothing/is/retained/here"


class ProbeClient(OneConnection):
    """One short visit to the broker: connect, subscribe or publish, leave.

    Args:
        topics: what to read ("" for nothing).
        message: what to publish (topic, payload, qos, retain), or None.
        on_message: is told (topic, payload, retained).
        on_done: is called, once, when the publication was acknowledged (at QoS 0: was sent), or all was told
            that is retained (or will never be: nobody listens).
    """

    def __init__(
        self,
        machine: Machine,
        client_id: str,
        *,
        topics: Sequence[str] = (),
        message: tuple[str, bytes, int, bool] | None = None,
        on_message: Callable[[str, bytes, bool], None] | None = None,
        on_done: Callable[[], None],
    ) -> None:
        self._topics = topics
        self._message = message
        self._on_message = on_message
        self._on_done = on_done
        super().__init__(machine, client_id)

    def session_accepted(self) -> None:
        assert self._session is not None
        if self._message is not None:
            topic, payload, qos, retain = self._message
            self._session.publish(topic, payload, retain, qos)
            self._session.flush()
            if not qos:
                self._on_done()
        else:
            # At QoS 0: to what TCP carries no broker's queue limit applies. mosquitto as it comes sends 1,020
            # of 3,000 retained statuses to a subscriber at QoS 1, and all of them at QoS 0.
            self._session.subscribe([(topic, 0) for topic in self._topics])

    def session_subscribed(self) -> None:
        # Most brokers answer in order: what is retained comes before the answer to a second subscription.
        assert self._session is not None
        self._session.subscribe([(_NOTHING, 0)], optional=True)

    def session_extra(self, topic: str, granted: bool) -> None:
        self._has_read()

    def channel_lost(self, error: Exception | None) -> None:
        super().channel_lost(error)
        if self._topics:
            self._has_read()

    def _has_read(self) -> None:
        done, self._on_done = self._on_done, lambda: None
        done()

    def session_acknowledged(self, mid: int) -> None:
        self._on_done()

    def session_message(self, topic: str, payload: bytes, retained: bool) -> None:
        if self._on_message is not None:
            self._on_message(topic, payload, retained)


class RetainedStatuses:
    """Collects what a fresh client is told of every node's status."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self.found: dict[str, tuple[str, str]] = {}  # node -> status, incarnation

    def on_message(self, topic: str, payload: bytes, retained: bool) -> None:
        """Take in one message."""
        if not retained:
            return
        try:
            message = decode(self._topics, topic, payload)
        except Rejected:
            return
        if isinstance(message, StatusMessage):
            self.found[message.node_id] = message.status, message.inc
