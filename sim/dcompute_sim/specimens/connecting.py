"""How a node connects."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from dcompute.drivers import Address, Driver
from dcompute.node_core import NodeCore
from dcompute.parts import LinkOwner, MqttLink, SessionSettings

_SETUP_S = 0.1


class RandomClientId(MqttLink):
    """A new client id at every boot, no incarnations, no look at the own status: an old will wins."""

    def __init__(
        self, driver: Driver, address: Address, settings: SessionSettings, owner: LinkOwner, **limits: Any
    ) -> None:
        client_id = f"esp-{driver.random.getrandbits(32):08x}"
        super().__init__(driver, address, replace(settings, client_id=client_id), owner, **limits)


class BareStatus(NodeCore):
    """Statuses of the first protocol: a node id and a status, nothing else."""

    def _status_payload(self, status: str) -> bytes:
        return json.dumps({"node_id": self.node_id, "status": status}).encode()

    def repair(self) -> list[tuple[str, bytes, bool]]:
        return []


class ConnectedFirst(MqttLink):
    """Says `connected` and subscribes a little later: what is sent in between is lost."""

    def session_accepted(self) -> None:
        self.session_subscribed()
        session = self._session
        self._driver.call_later(_SETUP_S, lambda: self._subscribe_late(session))

    def _subscribe_late(self, session: object) -> None:
        if self._session is not None and self._session is session:
            self._session.subscribe(self._owner.link_topics())


class SubscribesOnce(MqttLink):
    """Subscribes at its first connection only, and trusts the broker to remember."""

    def session_accepted(self) -> None:
        if self.connections:
            self.session_subscribed()
        else:
            super().session_accepted()


class NoJitter(MqttLink):
    """Connects again after exactly two seconds, as do all its sisters."""

    def _backoff_s(self) -> float:
        return 2.0


class NoBackoff(MqttLink):
    """Connects again at once, however often it was thrown out."""

    def _backoff_s(self) -> float:
        return 0.02
