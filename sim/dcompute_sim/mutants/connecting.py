"""How a node connects, and how it tries again."""

from __future__ import annotations

from dcompute.parts import MqttLink
from dcompute_sim.mutants.catalogue import Edit, register

_SETUP_S = 0.1
_DELAY = "delay_ms = self._retry_ms // 2 + random.getrandbits(16) % self._retry_ms"
_SUBSCRIBE = "        client.subscribe(core.task_topic, 1)\n        client.subscribe(core.status_topic, 1)\n"


class _ConnectedFirst(MqttLink):
    """Says `connected` and subscribes a little later: what is sent in between is lost."""

    def session_accepted(self) -> None:
        self.session_subscribed()
        session = self._session
        self._driver.call_later(_SETUP_S, lambda: self._subscribe_late(session))

    def _subscribe_late(self, session: object) -> None:
        if self._session is not None and self._session is session:
            self._session.subscribe(self._owner.link_topics())


class _SubscribesOnce(MqttLink):
    """Subscribes at its first connection only, and trusts the broker to remember."""

    def session_accepted(self) -> None:
        if self.connections:
            self.session_subscribed()
        else:
            super().session_accepted()


class _NoJitter(MqttLink):
    """Connects again after exactly two seconds, as do all its sisters."""

    def _backoff_s(self) -> float:
        return 2.0


class _NoBackoff(MqttLink):
    """Connects again at once, however often it was thrown out."""

    def _backoff_s(self) -> float:
        return 0.02


class _UnboundedBackoff(MqttLink):
    """Doubles its pause without a bound: after a long outage it comes back hours later."""

    def _backoff_s(self) -> float:
        return float(2 ** min(self._attempts, 16)) * self._driver.random.uniform(0.5, 1)


register("connected-first", _ConnectedFirst)
register(
    "subscribes-once",
    _SubscribesOnce,
    Edit(
        "link.py",
        _SUBSCRIBE,
        '        if core.inc.endswith(".1"):\n'
        "            client.subscribe(core.task_topic, 1)\n"
        "            client.subscribe(core.status_topic, 1)\n",
    ),
)
register(
    "unbounded-backoff",
    _UnboundedBackoff,
    Edit(
        "reconnect.py",
        "self._retry_ms = min(_LAST_RETRY_MS, 2 * self._retry_ms)",
        "self._retry_ms = 2 * self._retry_ms",
    ),
)
register(
    "trusting-wifi",
    Edit("reconnect.py", "if self._silences >= _SILENCES_PER_RESET:", "if False:"),
    about="A Wi-Fi that claims to be up is believed, although nobody answers.",
)
register("no-jitter", _NoJitter, Edit("reconnect.py", _DELAY, "delay_ms = 2000"))
register("no-backoff", _NoBackoff, Edit("reconnect.py", _DELAY, "delay_ms = 20"))
