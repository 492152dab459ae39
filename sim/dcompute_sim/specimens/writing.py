"""How a node writes, and what it does not hear of it."""

from __future__ import annotations

from typing import Any

from dcompute.node_core import NodeCore
from dcompute.parts import MqttLink, Outgoing

EPOCH_OF_ESP32_S = 946_684_800.0  # 2000-01-01


class LengthInCharacters(MqttLink):
    """Packets are as long as their text has characters; the bytes beyond become the next packet."""

    def _publish(self, message: Outgoing, *, held: bool) -> None:
        topic, payload, retain = message
        characters = len(payload.decode())
        super()._publish((topic, payload[:characters], retain), held=held)
        if characters < len(payload):
            assert self._session is not None
            assert self._channel is not None
            self._session.flush()
            self._channel.write(payload[characters:])


class EndlessWait(MqttLink):
    """A result waits for the PUBACK of what was sent before it, without end."""

    def _pump(self) -> None:
        if self._in_flight:
            self._pump_due = False
        else:
            super()._pump()

    def _check(self) -> None:
        for sent in self._in_flight.values():
            sent.at_s = self._driver.now_s()
        super()._check()


class Unacknowledged(MqttLink):
    """Circumstance: on a node's first connection no PUBACK ever comes."""

    def session_acknowledged(self, mid: int) -> None:
        if self.connections > 1:
            super().session_acknowledged(mid)


class UnretainedStatus(NodeCore):
    """Only the last will is retained: a `dead` outlives the recovery."""

    def status_message(self) -> tuple[str, bytes, bool]:
        topic, payload, _ = super().status_message()
        return (topic, payload, False)


class RetainedResults(NodeCore):
    """Circumstance: results are retained, as older nodes send them: a new subscriber gets an old one."""

    def result_message(self, result: Any, task_id: Any, timestamp: float) -> tuple[str, bytes, bool]:
        topic, payload, _ = super().result_message(result, task_id, timestamp)
        return (topic, payload, True)


class ClockUnset(NodeCore):
    """Circumstance: the node's clock was never set: it counts from its boot in the year 2000."""

    _boot_s: float | None = None

    def result_message(self, result: Any, task_id: Any, timestamp: float) -> tuple[str, bytes, bool]:
        if self._boot_s is None:
            self._boot_s = timestamp
        uptime_s = timestamp - self._boot_s
        return super().result_message(result, task_id, EPOCH_OF_ESP32_S + uptime_s)
