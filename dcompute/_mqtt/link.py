"""One client's lasting link to the broker: connects, reconnects with backoff, holds what must not be lost.

The link is a state machine on the driver's loop: idle, dialling, connecting (CONNECT sent), subscribing, up,
closing. `send` may be called from any thread. A message handed to `send` stays here until the broker has
acknowledged it, over any number of connections; a PUBACK that never comes ends the connection, as nothing
else would.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dcompute._log import log
from dcompute._mqtt.failure import explain
from dcompute._mqtt.paho_session import IN_FLIGHT, PahoSession, SessionSettings
from dcompute.drivers import Address, Channel, Driver, Timer

MIN_BACKOFF_S = 0.5
MAX_BACKOFF_S = 15.0
STABLE_S = 10.0  # a connection that held so long resets the backoff; two clones fighting over an id slow down
CONNECT_TIMEOUT_S = 10.0
ACK_TIMEOUT_S = 30.0
URGENT_IN_FLIGHT = IN_FLIGHT // 2  # statuses; beyond it only the newest of a topic waits: no flood builds up

Outgoing = tuple[str, bytes, bool]  # topic, payload, retain


class LinkOwner(Protocol):
    """The transport a link serves. All calls come on the driver's loop."""

    def link_will(self) -> Outgoing | None:
        """The last will of the connection about to be made."""

    def link_topics(self) -> Sequence[str]:
        """The broker has accepted the connection: what to subscribe to, before anything is sent."""

    def link_up(self) -> Sequence[Outgoing]:
        """Subscribed: returns what is to be sent before anything held."""

    def link_message(self, topic: str, payload: bytes, retained: bool) -> None: ...

    def link_down(self, reason: str) -> None:
        """A connection that was up is gone."""

    def link_failed(self, reason: str) -> None:
        """An attempt to connect failed; another one follows."""

    def link_dropped(self, message: Outgoing) -> None:
        """Too much was held: this oldest message is lost."""


@dataclass(slots=True)
class _Sent:
    message: Outgoing
    held: bool  # to be sent again on the next connection
    at_s: float


class MqttLink:
    """See the module's head.

    Args:
        hold_limit: how many messages may wait for a connection.
        drop_oldest: beyond that, drop the oldest instead of refusing the newest.
    """

    def __init__(
        self,
        driver: Driver,
        address: Address,
        settings: SessionSettings,
        owner: LinkOwner,
        *,
        hold_limit: int,
        drop_oldest: bool,
    ) -> None:
        self._driver = driver
        self._address = address
        self._settings = settings
        self._owner = owner
        self._hold_limit = hold_limit
        self._drop_oldest = drop_oldest
        self._held: list[Outgoing] = []  # an empty deque takes 624 bytes
        self._held_lock = threading.Lock()
        self._pump_due = False
        self._in_flight: dict[int, _Sent] = {}
        self._urgent: dict[str, Outgoing] = {}  # by topic; there is no room for them in flight
        self._urgent_in_flight = 0
        self._session: PahoSession | None = None
        self._channel: Channel | None = None
        self._dial: Timer | None = None
        self._timer: Timer | None = None
        self._running = False
        self._up = False
        self._up_since_s = 0.0
        self._attempts = 0
        self._first_outcome: list[Callable[[], None]] = []
        self._closed: list[Callable[[], None]] = []  # not empty: closing
        self._close_limit: Timer | None = None
        self.last_error = ""
        self.dropped = 0
        self.connections = 0

    # --- from any thread --------------------------------------------------------------------------------

    def is_up(self) -> bool:
        """Connected and subscribed."""
        return self._up

    def held(self) -> int:
        """How many messages wait or are not acknowledged yet."""
        return len(self._held) + len(self._in_flight)

    def send(self, message: Outgoing) -> bool:
        """Send at QoS 1, now or when the link is next up. False: too many wait, it was refused."""
        dropped: Outgoing | None = None
        with self._held_lock:
            if len(self._held) >= self._hold_limit:
                if not self._drop_oldest:
                    return False
                dropped = self._held.pop(0)
                self.dropped += 1
            self._held.append(message)
            due = self._pump_due
            self._pump_due = True
        if dropped is not None:
            self._owner.link_dropped(dropped)
        if not due:
            self._driver.call_on_loop(self._pump)
        return True

    # --- on the loop ------------------------------------------------------------------------------------

    def start(self, first_outcome: Callable[[], None]) -> None:
        """Begin connecting; `first_outcome` is called once the first attempt has succeeded or failed."""
        if self._running:
            first_outcome()
            return
        self._running = True
        self._first_outcome.append(first_outcome)
        self._connect()

    def send_now(self, messages: Sequence[Outgoing]) -> None:
        """Send ahead of everything held; lost if the link is not up (the next connection says it anew).

        Of messages that the broker is too slow to take, only the newest on each topic is sent.
        """
        if self._session is None or not self._up:
            return
        for message in messages:
            if self._urgent or self._urgent_in_flight >= URGENT_IN_FLIGHT:
                self._urgent.pop(message[0], None)  # last in order
                self._urgent[message[0]] = message
                self._send_urgent()
            else:
                self._publish_urgent(message)
        self._session.flush()

    def _send_urgent(self) -> None:
        while self._urgent and self._urgent_in_flight < URGENT_IN_FLIGHT:
            self._publish_urgent(self._urgent.pop(next(iter(self._urgent))))

    def _publish_urgent(self, message: Outgoing) -> None:
        self._urgent_in_flight += 1
        self._publish(message, held=False)

    def subscribe_also(self, topic: str) -> None:
        """Subscribe if this connection is accepted; the next one's `link_topics` are to name it."""
        if self._session is not None and self._session.accepted:
            self._session.subscribe([topic])

    def close(self, last: Sequence[Outgoing], timeout_s: float, closed: Callable[[], None]) -> None:
        """Send what is held, then `last`, wait for their PUBACKs, DISCONNECT.

        Not connected, or not done within `timeout_s`, the link is cut instead, so that the broker sends the
        will.
        """
        if self._closed:
            self._closed.append(closed)
            return
        if not self._up:
            self.kill()
            closed()
            return
        self._closed.append(closed)
        self._urgent.clear()  # what is last overtakes it
        with self._held_lock:
            self._held.extend(last)
        self._close_limit = self._driver.call_later(timeout_s, self.kill)
        self._pump()

    def kill(self) -> None:
        """Stop at once, without DISCONNECT, as a crash would."""
        self._running = False
        channel = self._channel
        self._drop_connection()
        if channel is not None:
            channel.abort()
        self._tell_first_outcome()
        self._tell_closed()

    def reconnect(self, reason: str) -> None:
        """End the present connection, or attempt at one, and make a new one."""
        channel = self._channel
        self._lost(reason)
        if channel is not None:
            channel.abort()

    def _connect(self) -> None:
        self._timer = None
        self._attempts += 1
        will = self._owner.link_will()
        session = PahoSession(self._settings, will and will[:2], self)
        self._session = session
        self._arm(CONNECT_TIMEOUT_S, self._connect_timeout)
        self._dial = self._driver.dial(self._address, _Attempt(self, session))

    def _connect_timeout(self) -> None:
        self._timer = None
        self.reconnect(f"no answer from {self._address} within {CONNECT_TIMEOUT_S:.0f} s")

    def _arm(self, delay_s: float, call: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._driver.call_later(delay_s, call)

    def _arm_check(self) -> None:
        assert self._session is not None
        delay_s = self._session.next_check_s() - self._driver.now_s()
        # At least a millisecond: rounding may put the due time a hair before now, for ever. And not so late,
        # with a long keepalive, that a PUBACK which never comes goes unnoticed.
        self._timer = self._driver.call_later(min(max(delay_s, 0.001), 2 * ACK_TIMEOUT_S), self._check)

    def _check(self) -> None:
        self._timer = None
        session = self._session
        if session is None:
            return
        oldest = next(iter(self._in_flight.values()), None)
        if oldest is not None and self._driver.now_s() - oldest.at_s > ACK_TIMEOUT_S:
            self.reconnect(f"a message was not acknowledged within {ACK_TIMEOUT_S:.0f} s")
            return
        session.check()
        if self._session is session and self._up:
            self._arm_check()

    def _pump(self) -> None:
        """Hand held messages to the session, as many as may be in flight."""
        self._pump_due = False
        session = self._session
        if session is None or not self._up:
            return
        self._send_urgent()
        held = self._held
        room = max(0, IN_FLIGHT - len(self._in_flight))
        with self._held_lock:
            now, held[:room] = held[:room], []
        for message in now:
            self._publish(message, held=True)
        session.flush()
        if self._closed and not held and not self._in_flight:
            self._finish_close()

    def _publish(self, message: Outgoing, *, held: bool) -> None:
        assert self._session is not None
        topic, payload, retain = message
        mid = self._session.publish(topic, payload, retain)
        self._in_flight[mid] = _Sent(message, held, self._driver.now_s())

    def _finish_close(self) -> None:
        assert self._session is not None
        assert self._channel is not None
        channel = self._channel
        self._running = False
        self._session.disconnect()
        self._drop_connection()
        channel.close()
        self._tell_closed()

    def _tell_closed(self) -> None:
        if self._close_limit is not None:
            self._close_limit.cancel()
            self._close_limit = None
        waiting, self._closed = self._closed, []
        for call in waiting:
            call()

    def _lost(self, reason: str) -> None:
        was_up = self._up
        self._drop_connection()
        self.last_error = reason
        if self._closed:
            self._running = False
            self._tell_closed()
        elif self._running:
            if was_up and self._driver.now_s() - self._up_since_s >= STABLE_S:
                self._attempts = 0
            self._arm(self._backoff_s(), self._connect)
        if was_up:
            self._owner.link_down(reason)
        else:
            self._owner.link_failed(reason)
        self._tell_first_outcome()

    def _backoff_s(self) -> float:
        """Exponential with full jitter, so that a fleet that lost its broker does not come back as one."""
        ceiling_s = min(MAX_BACKOFF_S, MIN_BACKOFF_S * 2 ** min(self._attempts, 10))
        return self._driver.random.uniform(MIN_BACKOFF_S / 2, ceiling_s)

    def _drop_connection(self) -> None:
        if self._dial is not None:
            self._dial.cancel()
            self._dial = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._session is not None:
            self._session.abandon()
            self._session = None
        self._channel = None
        self._up = False
        with self._held_lock:
            self._held[:0] = [sent.message for sent in self._in_flight.values() if sent.held]
        self._in_flight.clear()
        self._urgent.clear()
        self._urgent_in_flight = 0

    def _tell_first_outcome(self) -> None:
        waiting, self._first_outcome = self._first_outcome, []
        for call in waiting:
            call()

    # --- the channel tells, by way of its _Attempt ------------------------------------------------------

    def channel_open(self, session: PahoSession, channel: Channel) -> None:
        if session is not self._session:
            channel.abort()
            return
        self._dial = None
        self._channel = channel
        session.open(channel.write)

    def channel_lost(self, session: PahoSession, error: Exception | None) -> None:
        if session is self._session:
            self._dial = None
            self._lost(explain(error, self._address))

    # --- the session tells ------------------------------------------------------------------------------

    def session_accepted(self) -> None:
        assert self._session is not None
        self._session.subscribe(self._owner.link_topics())

    def session_subscribed(self) -> None:
        if self._up:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._up = True
        self._up_since_s = self._driver.now_s()
        self.connections += 1
        self.last_error = ""
        self._arm_check()
        self.send_now(self._owner.link_up())
        self._pump()
        self._tell_first_outcome()

    def session_message(self, topic: str, payload: bytes, retained: bool) -> None:
        try:
            self._owner.link_message(topic, payload, retained)
        except Exception:  # a fault of ours must not end the connection and be met again at every redelivery
            log.exception("could not take in a message on %s", topic)

    def session_acknowledged(self, mid: int) -> None:
        sent = self._in_flight.pop(mid, None)
        if sent is not None and not sent.held:
            self._urgent_in_flight -= 1
        if not self._in_flight:
            self._in_flight.clear()  # also of its table, which is most of an idle link
        if (self._held or self._urgent or self._closed) and not self._pump_due:
            self._pump()

    def session_ended(self, reason: str) -> None:
        self.reconnect(reason)


class _Attempt:
    """What one channel tells, for one session: the end of an old channel may come when there is a new one."""

    __slots__ = ("_link", "_session", "channel_data")

    def __init__(self, link: MqttLink, session: PahoSession) -> None:
        self._link = link
        self._session = session
        self.channel_data = session.feed

    def channel_open(self, channel: Channel) -> None:
        self._link.channel_open(self._session, channel)

    def channel_lost(self, error: Exception | None) -> None:
        self._link.channel_lost(self._session, error)
