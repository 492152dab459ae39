"""A client that reads topics, and answers each message with messages of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from dcompute.drivers import Address, Channel, Timer
from dcompute.parts import PahoSession, SessionSettings
from dcompute_sim.director.probe_client import KEEPALIVE_S
from dcompute_sim.interfaces.world import Machine


class Eavesdropper:
    """One connection, from the beginning to `leave`; it does not come back when it is lost.

    Args:
        heard: is told (topic, payload) of each message that is not its own; returns what to publish.
        on_ready: is called once it hears.
    """

    def __init__(
        self,
        machine: Machine,
        client_id: str,
        topics: Sequence[str],
        heard: Callable[[str, bytes], Sequence[tuple[str, bytes]]],
        on_ready: Callable[[], None],
    ) -> None:
        self._topics = topics
        self._heard = heard
        self._on_ready = on_ready
        self._own: Counter[bytes] = Counter()  # payloads that will come back to it
        self._channel: Channel | None = None
        login = machine.login
        settings = SessionSettings(client_id, KEEPALIVE_S, login.username, login.password)
        self._session: PahoSession | None = PahoSession(settings, None, self)
        self._driver = machine.driver
        self._dial: Timer = machine.driver.dial(Address(*machine.address, login.tls), self)

    def leave(self) -> None:
        """Disconnect."""
        if self._session is not None and self._channel is not None:
            self._session.disconnect()
            self._channel.close()
        self._dial.cancel()
        self._session = None

    def channel_open(self, channel: Channel) -> None:
        self._channel = channel
        if self._session is not None:
            self._session.open(channel.write)

    def channel_data(self, data: bytes) -> None:
        if self._session is not None:
            self._session.feed(data)

    def channel_lost(self, error: Exception | None) -> None:
        self._session = None

    def session_accepted(self) -> None:
        assert self._session is not None
        self._session.subscribe([(topic, 0) for topic in self._topics])
        self._ping()

    def session_subscribed(self) -> None:
        self._on_ready()

    def session_extra(self, topic: str, granted: bool) -> None:
        pass  # it asks for nothing that it could do without

    def session_acknowledged(self, mid: int) -> None:
        pass  # nothing that it says is waited for

    def session_message(self, topic: str, payload: bytes, retained: bool) -> None:
        if self._own[payload] > 0:
            self._own[payload] -= 1
            return
        for to, said in self._heard(topic, payload):
            if self._session is not None:
                self._own[said] += to in self._topics
                self._session.publish(to, said, False, qos=0)

    def session_ended(self, reason: str) -> None:
        self._session = None

    def _ping(self) -> None:
        """Look after the keepalive, as long as the connection lasts."""
        if self._session is not None:
            self._session.check()
            self._driver.call_later(KEEPALIVE_S / 2, self._ping)
