"""One connection of the testbed's own to the broker, from its beginning to `leave`; it does not come back."""

from __future__ import annotations

from abc import ABC, abstractmethod

from dcompute.drivers import Address, Channel, Timer
from dcompute.parts import PahoSession, SessionSettings
from dcompute_sim.interfaces.world import Machine

KEEPALIVE_S = 60


class OneConnection(ABC):
    """Dials, speaks MQTT, and leaves. What is done with the session is for those who derive from it."""

    def __init__(self, machine: Machine, client_id: str) -> None:
        self._channel: Channel | None = None
        login = machine.login
        settings = SessionSettings(client_id, KEEPALIVE_S, login.username, login.password)
        self._session: PahoSession | None = PahoSession(settings, None, self)
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

    @abstractmethod
    def session_accepted(self) -> None: ...

    @abstractmethod
    def session_subscribed(self) -> None: ...

    def session_extra(self, topic: str, granted: bool) -> None:
        """Do nothing: it asks for nothing that it could do without."""
        return

    @abstractmethod
    def session_acknowledged(self, mid: int) -> None: ...

    @abstractmethod
    def session_message(self, topic: str, payload: bytes, retained: bool) -> None: ...

    def session_ended(self, reason: str) -> None:
        self._session = None
