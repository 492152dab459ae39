"""How a node reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from dcompute.drivers import Address, ChannelUser, Driver, Timer
from dcompute.node_core import NodeCore
from dcompute.parts import MqttLink
from dcompute_sim.mutants.catalogue import Edit, register
from dcompute_sim.net.mqtt_frames import frame_at

_PUBACK = 4
_LOOK_S = 0.1
_LARGE_BYTES = 1000
_HALF_S = 20.0


class _ReaderEnds(MqttLink):
    """The reader ends at the first connection loss, and nobody starts it again."""

    _deaf = False

    def _lost(self, reason: str) -> None:
        self._deaf = True
        super()._lost(reason)

    def session_message(self, topic: str, payload: bytes, retained: bool) -> None:
        if not self._deaf:
            super().session_message(topic, payload, retained)


_Deliver = Callable[[bytes], None]


class _FilteringDriver:
    """A driver whose channels' bytes go to `on_data(data, deliver)` instead of to their user."""

    def __init__(self, inner: Driver, on_data: Callable[[bytes, _Deliver], None]) -> None:
        self._inner = inner
        self._on_data = on_data

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def dial(self, address: Address, user: ChannelUser) -> Timer:
        return self._inner.dial(address, _FilteredUser(user, self._on_data))


class _FilteredUser:
    def __init__(self, inner: ChannelUser, on_data: Callable[[bytes, _Deliver], None]) -> None:
        self._deliver = inner.channel_data
        self._on_data = on_data
        self.channel_open = inner.channel_open
        self.channel_lost = inner.channel_lost

    def channel_data(self, data: bytes) -> None:
        self._on_data(data, self._deliver)


class _HalfPackets(MqttLink):
    """Circumstance: of anything large only one half arrives at first; the other takes twenty seconds more."""

    def __init__(self, driver: Driver, *rest: Any, **limits: Any) -> None:
        super().__init__(cast(Driver, _FilteringDriver(driver, self._halve)), *rest, **limits)
        self._late: list[bytes] = []

    def _drop_connection(self) -> None:
        super()._drop_connection()
        self._late.clear()

    def _halve(self, data: bytes, deliver: _Deliver) -> None:
        if self._late:
            self._late.append(data)
        elif len(data) < _LARGE_BYTES:
            deliver(data)
        else:
            self._late.append(data[len(data) // 2 :])
            self._driver.call_later(_HALF_S, lambda: self._deliver_late(deliver))
            deliver(data[: len(data) // 2])

    def _deliver_late(self, deliver: _Deliver) -> None:
        late, self._late = b"".join(self._late), []
        if late:
            deliver(late)


class _TwoReaders(MqttLink):
    """Whoever waits for a PUBACK reads the socket too, and throws away whatever else comes."""

    def __init__(self, driver: Driver, *rest: Any, **limits: Any) -> None:
        super().__init__(cast(Driver, _FilteringDriver(driver, self._read)), *rest, **limits)

    def _read(self, data: bytes, deliver: _Deliver) -> None:
        if not (self._up and self._in_flight) or data[0] >> 4 == _PUBACK:
            deliver(data)


class _MalformedEndsReader(NodeCore):
    """An exception while a task is read ends the reader; the connection stays, and nobody reads it."""

    _deaf = False

    def receive(self, topic: str, payload: bytes, now_ms: int = 0) -> list[tuple[str, bytes, bool]]:
        if self._deaf:
            return []
        answers = super().receive(topic, payload, now_ms)
        self._deaf = self.rejected > 0
        return answers


class _BlockingRead(MqttLink):
    """Half a packet blocks until the other half has come: no ping, no result meanwhile."""

    _partial = b""

    def __init__(self, driver: Driver, *rest: Any, **limits: Any) -> None:
        super().__init__(cast(Driver, _FilteringDriver(driver, self._read)), *rest, **limits)

    def _drop_connection(self) -> None:
        self._partial = b""
        super()._drop_connection()

    def _read(self, data: bytes, deliver: _Deliver) -> None:
        whole, self._partial = _whole_packets(self._partial + data)
        if whole:
            deliver(whole)

    def _pump(self) -> None:
        if self._partial:
            self._driver.call_later(_LOOK_S, self._pump)
        else:
            super()._pump()

    def _check(self) -> None:
        if self._partial:
            self._timer = self._driver.call_later(_LOOK_S, self._check)
        else:
            super()._check()


def _whole_packets(data: bytes) -> tuple[bytes, bytes]:
    """Return `data` split after its last complete MQTT packet."""
    end = 0
    while (frame := frame_at(data, end)) is not None and frame[1] <= len(data):
        end = frame[1]
    return data[:end], data[end:]


_DEAF = "            self._client.set_callback(lambda *_: None)\n"

register(
    "reader-ends",
    _ReaderEnds,
    Edit("link.py", "            self.core.lost()\n", "            self.core.lost()\n" + _DEAF),
)
register("half-packets", _HalfPackets)
register(
    "two-readers",
    _TwoReaders,
    Edit(
        "mqtt_client.py",
        "        if operation == 0x30:\n",
        "        if operation == 0x30 and self.on_puback.__self__.outbox.sending:\n"
        "            pass\n"
        "        elif operation == 0x30:\n",
    ),
)
register(
    "malformed-ends-reader",
    _MalformedEndsReader,
    Edit("link.py", "        if rejected:\n", "        if rejected:\n" + _DEAF),
)
register(
    "blocking-read",
    _BlockingRead,
    Edit(
        "mqtt_reader.py",
        "            if not count:\n                return False\n",
        "            if not count:\n                time.sleep_ms(50)\n                continue\n",
    ),
)
