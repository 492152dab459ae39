"""One client's lasting link to the broker: connects, reconnects with backoff, holds what must not be lost.

Rules
1. A message handed to `send` stays here until the broker has acknowledged it, over any number of
   connections. How many may wait, and which of them goes first: `held.py`.
2. What was in flight when a connection ended goes before the others of its priority on the next.
3. `send_now` is for what is only true now: it overtakes all that is held, is lost with the connection, and
   of what the broker is too slow to take only the newest on each topic is sent (`in_flight.py`).
4. Nothing is sent before the broker has acknowledged the subscriptions, so that an answer to what is sent
   arrives. A subscription that the owner can do without is asked for by itself, afterwards.
5. A PUBACK that does not come within ACK_TIMEOUT_S of its message ends the connection: nothing else would,
   as the broker goes on answering pings. (A broker that was restarted behind a TCP proxy forgets what it was
   sent.)
6. A broker that closes the connection means something by it, and says nothing: `closes.py` concludes what it
   will not take. A message that it threw us out over is set aside, others go on.
7. Reconnection waits MIN_BACKOFF_S / 2 to MAX_BACKOFF_S, doubling, with full jitter, so that a fleet that
   lost its broker does not come back as one. It starts over only after a connection that lasted STABLE_S:
   two programs with one client id, each of which throws the other out, fight ever more slowly.
8. `close` sends what is held first, reconnecting for that if need be, within its bound. What comes to no
   good end is cut without DISCONNECT: then the broker publishes the last will, which tells the truth.

All of it happens on the driver's loop, as one state machine: idle, dialling, connecting (CONNECT sent),
subscribing, up, closing. Only `send` may be called from any thread; it holds a lock for the moment that it
takes to append.

Rejected
* paho's own queue, threads and reconnection: they keep their state over connections (packet ids, inflight
  messages, a half-read packet), and cannot be driven in virtual time. `paho_session.py` makes a client for
  each connection.
* Kept sessions, which would let the broker remember: it then publishes no will when another program takes
  over the client id (mosquitto 2.0.11, amqtt 0.12.1), and a stranger's old subscriptions come back with
  them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

from dcompute._log import log
from dcompute._mqtt.closes import Closes
from dcompute._mqtt.failure import explain
from dcompute._mqtt.held import LAST, Held
from dcompute._mqtt.in_flight import URGENT_IN_FLIGHT, InFlight, Sent
from dcompute._mqtt.link_owner import LinkOwner, Outgoing
from dcompute._mqtt.paho_session import IN_FLIGHT, PahoSession, SessionSettings, Subscription
from dcompute._mqtt.suspects import Suspect
from dcompute.drivers import Address, Channel, Driver, Timer

MIN_BACKOFF_S = 0.5
MAX_BACKOFF_S = 15.0
STABLE_S = 10.0
CONNECT_TIMEOUT_S = 10.0
ACK_TIMEOUT_S = 30.0


class MqttLink:
    """A lasting link; follows the rules above.

    Args:
        hold_limit: how many messages may wait for a connection.
        drop_oldest: beyond that, drop the oldest (of the least urgent) instead of refusing the newest.
    """

    __slots__ = (
        "__dict__",
        "_address",
        "_attempts",
        "_channel",
        "_check_due_s",
        "_close_limit",
        "_closed",
        "_closes",
        "_dial",
        "_driver",
        "_first_outcome",
        "_held",
        "_idle",
        "_in_flight",
        "_once",
        "_owner",
        "_pump_due",
        "_running",
        "_session",
        "_settings",
        "_timer",
        "_up",
        "_up_since_s",
        "_urgent",
        "connections",
        "dropped",
        "last_error",
    )  # thousands in a testbed; `__dict__` for what derived classes add, none without them

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
        self._held = Held(hold_limit, drops_oldest=drop_oldest)
        self._once: list[tuple[Outgoing, int]] = []
        self._pump_due = False
        self._in_flight = InFlight()
        self._urgent: dict[str, Outgoing] = {}  # by topic; there is no room for them in flight
        self._closes = Closes(settings.client_id)
        self._session: PahoSession | None = None
        self._channel: Channel | None = None
        self._dial: Timer | None = None
        self._timer: Timer | None = None
        self._check_due_s = 0.0
        self._running = False
        self._up = False
        self._up_since_s = 0.0
        self._attempts = 0
        # Tuples, for an empty one takes nothing: of most links nobody waits for anything, most of the time.
        self._first_outcome: tuple[Callable[[], None], ...] = ()
        self._idle: tuple[Callable[[], None], ...] = ()
        self._closed: tuple[Callable[[], None], ...] = ()  # not empty: closing
        self._close_limit: Timer | None = None
        self.last_error = ""
        self.dropped = 0
        self.connections = 0

    # --- from any thread --------------------------------------------------------------------------------

    def is_up(self) -> bool:
        """Tell whether the link is connected and subscribed."""
        return self._up

    def is_running(self) -> bool:
        """Tell whether it was started, and has neither ended nor been killed."""
        return self._running

    def held(self) -> int:
        """Count the messages that wait or are not acknowledged yet."""
        return self._held.count + len(self._in_flight)

    def unsent(self) -> list[Outgoing]:
        """Return the messages handed to `send` that the broker has not acknowledged."""
        with self._held.lock:
            flying = [sent.message for sent in list(self._in_flight.values()) if sent.held is not None]
            return flying + [message for lane in self._held.lanes.values() for message in lane]

    def once_bytes(self) -> int:
        """Tell what `send_once` sends so: what is larger is held until it is acknowledged."""
        return self._closes.once_limit()

    def send(self, message: Outgoing, priority: int = 0) -> bool:
        """Send at QoS 1, now or when the link is next up. False: too many wait, it was refused."""
        dropped: Outgoing | None = None
        held = self._held
        with held.lock:
            if held.count >= held.limit:
                if not held.drops_oldest:
                    return False
                dropped = held.take(min(held.lanes))
                self.dropped += 1
            held.add(priority, [message])
            due = self._pump_due
            self._pump_due = True
        # Outside the lock, which nobody can take twice: the owner may send in answer.
        if dropped is not None:
            if self._closes.suspects is not None:
                self._closes.suspects.clear(Suspect(dropped[0], dropped[1], True))
            self._owner.link_dropped(dropped)
        if not due:
            self._driver.call_on_loop(self._pump)
        return True

    def send_once(self, messages: Sequence[Outgoing], priority: int = 0) -> None:
        """Send at QoS 0, ahead of what is held; lost if the link is not up, or goes down (but see rule 6).

        For those who are acknowledged end to end, and send again themselves.
        """
        self.send_once_each([(message, priority) for message in messages])

    def send_once_each(self, messages: Sequence[tuple[Outgoing, int]]) -> None:
        """Do as `send_once`, each with a priority of its own, in one write."""
        if not messages:
            return
        with self._held.lock:
            due = bool(self._once)
            self._once.extend(messages)
        if not due:
            self._driver.call_on_loop(self._send_once)

    def _send_once(self) -> None:
        with self._held.lock:
            messages, self._once = self._once, []
        session = self._session
        if session is None or not self._up:
            return
        limit = self.once_bytes()
        for message, priority in messages:
            topic, payload, retain = message
            if len(payload) > limit:
                if message not in self.unsent():  # asked for again meanwhile: a copy is a suspect of its own
                    self.send(message, priority)
                continue
            if len(payload) > self._closes.largest_once:
                self._closes.largest_once = len(payload)
            session.publish(topic, payload, retain, qos=0)
        session.flush()

    # --- on the loop ------------------------------------------------------------------------------------

    def start(self, first_outcome: Callable[[], None]) -> None:
        """Begin connecting; `first_outcome` is called once the first attempt has succeeded or failed."""
        if self._running:
            first_outcome()
            return
        self._running = True
        self._first_outcome += (first_outcome,)
        self._connect()

    def send_now(self, messages: Sequence[Outgoing]) -> None:
        """Send ahead of everything held; lost if the link is not up (the next connection says it anew).

        Of messages that the broker is too slow to take, only the newest on each topic is sent.
        """
        if self._session is None or not self._up:
            return
        for message in messages:
            if self._urgent or not self._urgent_has_room(message[0]):
                self._urgent.pop(message[0], None)  # last in order
                self._urgent[message[0]] = message
                self._send_urgent()
            else:
                self._publish_urgent(message)
        self._session.flush()

    def _urgent_has_room(self, topic: str) -> bool:
        suspects = self._closes.suspects
        if suspects is not None and suspects.careful:
            return not self._in_flight
        return self._in_flight.urgent_has_room(topic)

    def _send_urgent(self) -> None:
        for topic in [*islice(self._urgent, URGENT_IN_FLIGHT)]:  # so many cannot all have to wait for room
            if self._urgent_has_room(topic):
                self._publish_urgent(self._urgent.pop(topic))

    def _publish_urgent(self, message: Outgoing) -> None:
        suspects = self._closes.suspects
        if suspects is not None:
            if not suspects.allows(message[0], len(message[1])):
                return
            if suspects.convicts(Suspect(message[0], message[1], False)):
                self._owner.link_refused(message, False, suspects.reason)
                return
        self._publish(message, held=None)

    def pardon(self) -> bool:
        """Let what was set aside of what is said anew be tried once more; tell whether there is any of it."""
        return self._closes.suspects is not None and self._closes.suspects.pardon()

    def subscribe_also(self, extra: Subscription) -> None:
        """Subscribe if this connection is up; the next one's `link_extras` are to name it."""
        if self._session is not None and self._up and self._closes.is_welcome(extra[0]):
            self._session.subscribe([extra], optional=True)

    def when_idle(self, idle: Callable[[], None]) -> None:
        """Call `idle` as soon as nothing waits and everything is acknowledged."""
        if self.held():
            self._idle += (idle,)
        else:
            idle()

    def close(self, last: Sequence[Outgoing], timeout_s: float, closed: Callable[[], None]) -> None:
        """Send what is held, then `last`, wait for their PUBACKs, DISCONNECT.

        What is not done within `timeout_s` is given up and the link cut, so that the broker sends the will;
        `unsent` then tells what it was. A link that is down is cut at once unless something is held.
        """
        if self._closed:
            self._closed += (closed,)
            return
        if not self._running or not (self._up or self._held.count):
            self.kill()
            closed()
            return
        self._closed += (closed,)
        if not self._held.count:
            self._urgent.clear()  # what is last overtakes it
        if last:
            with self._held.lock:
                self._held.add(LAST, last)
        self._close_limit = self._driver.call_later(timeout_s, self.kill)
        self._pump()

    def kill(self) -> None:
        """Stop at once, without DISCONNECT, as a crash would."""
        self._running = False
        channel = self._channel
        # First forgotten, then aborted: what the channel says of its end is of no present session.
        self._drop_connection()
        self._held.forget_last_words()
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

    def _tell_first_outcome(self) -> None:
        outcome, self._first_outcome = self._first_outcome, ()
        for call in outcome:
            call()

    def _connect(self) -> None:
        # First: whatever fails below, there is a next time.
        self._arm(CONNECT_TIMEOUT_S, self._connect_timeout)
        self._attempts += 1
        will = self._owner.link_will()
        session = PahoSession(self._settings, will, self)
        self._session = session
        self._dial = self._driver.dial(self._address, _Attempt(self, session))

    def _connect_timeout(self) -> None:
        self._timer = None
        self.reconnect(f"no answer from {self._address} within {CONNECT_TIMEOUT_S:.0f} s")

    def _arm(self, delay_s: float, call: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._driver.call_later(delay_s, call)

    def _arm_check(self) -> None:
        """Look again when a ping is due, or a PUBACK overdue."""
        assert self._session is not None
        due_s = self._session.next_check_s()
        oldest = self._in_flight.oldest()
        if oldest is not None:
            due_s = min(due_s, oldest.at_s + ACK_TIMEOUT_S)
        now_s = self._driver.now_s()
        # At least a millisecond: rounding may put the due time a hair before now, for ever.
        if due_s < now_s + 0.001:
            due_s = now_s + 0.001
        self._check_due_s = due_s
        if self._timer is not None:  # as `_arm` does: each idle client comes by here at every ping
            self._timer.cancel()
        self._timer = self._driver.call_later(due_s - now_s, self._check)

    def _check(self) -> None:
        self._timer = None
        session = self._session
        if session is None:
            return
        oldest = self._in_flight.oldest()
        if oldest is not None and self._driver.now_s() - oldest.at_s >= ACK_TIMEOUT_S:
            self.reconnect(f"a message was not acknowledged within {ACK_TIMEOUT_S:.0f} s")
            return
        try:
            session.check()
        finally:  # whatever failed, the link has to go on looking
            if self._session is session and self._up:
                self._arm_check()

    def _pump(self) -> None:
        """Hand held messages to the session, as many as may be in flight."""
        self._pump_due = False
        session = self._session
        if session is None or not self._up:
            return
        self._send_urgent()
        while (taken := self._next_held()) is not None:
            message, priority = taken
            suspects = self._closes.suspects
            if suspects is not None and suspects.convicts(Suspect(message[0], message[1], True)):
                instead = self._owner.link_refused(message, True, suspects.reason)
                if instead is not None:
                    with self._held.lock:
                        self._held.add_first(priority, instead)
                continue
            try:
                self._publish(message, held=priority)
            except BaseException:
                with self._held.lock:
                    self._held.add_first(priority, message)
                raise
        session.flush()
        if not self._held.count and not self._in_flight:
            if self._closed:
                self._finish_close()
            else:
                idle, self._idle = self._idle, ()
                for call in idle:
                    call()

    def _next_held(self) -> tuple[Outgoing, int] | None:
        suspects = self._closes.suspects
        careful = suspects is not None and suspects.careful
        if len(self._in_flight) >= (1 if careful else IN_FLIGHT):
            return None
        held = self._held
        with held.lock:
            if not held.count:
                return None
            priority = max(held.lanes)
            if priority == LAST and self._urgent:
                return None  # who takes what is held must have heard of us before: that waits for room
            return held.take(priority), priority

    def _publish(self, message: Outgoing, *, held: int | None) -> None:
        assert self._session is not None
        topic, payload, retain = message
        now_s = self._driver.now_s()
        mid = self._session.publish(topic, payload, retain)
        self._in_flight.add(mid, Sent(message, held, now_s))
        if self._check_due_s > now_s + ACK_TIMEOUT_S:  # with a long keepalive the next look would be too late
            self._arm_check()

    def _finish_close(self) -> None:
        session, channel = self._session, self._channel
        assert session is not None
        assert channel is not None
        self._running = False
        session.disconnect()
        self._drop_connection()
        channel.close()
        self._tell_closed()

    def _tell_closed(self) -> None:
        if self._close_limit is not None:
            self._close_limit.cancel()
            self._close_limit = None
        closed, self._closed = self._closed, ()
        for call in closed:
            call()

    def _lost(self, reason: str) -> None:
        was_up = self._up
        lasted = was_up and self._driver.now_s() - self._up_since_s >= STABLE_S
        self._drop_connection()
        self.last_error = reason
        if self._closed and not any(priority > LAST for priority in self._held.lanes):
            self._running = False
            self._held.forget_last_words()
            self._tell_closed()
        elif self._running:
            if lasted:
                self._attempts = 0
            self._arm(self._backoff_s(), self._connect)
        # Told last: whatever the owner makes of it, the next attempt is due.
        if was_up:
            self._owner.link_down(reason)
        else:
            if self._closes.suspects is not None:
                self._closes.suspects.unreachable()
            self._owner.link_failed(reason)
        self._tell_first_outcome()

    def _backoff_s(self) -> float:
        """Draw the time until the next attempt: exponential, with full jitter (rule 7)."""
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
        self._closes.largest_once = 0
        with self._held.lock:
            for priority, message in self._in_flight.again():
                self._held.add_first(priority, message)
            self._in_flight.forget()
        self._urgent.clear()

    # --- the channel tells, by way of its _Attempt ------------------------------------------------------

    def channel_open(self, session: PahoSession, channel: Channel) -> None:
        if session is not self._session:
            channel.abort()
            return
        self._dial = None
        self._channel = channel
        session.open(channel.write)

    def channel_lost(self, session: PahoSession, error: Exception | None) -> None:
        if session is not self._session:
            return
        self._dial = None
        reason = explain(error, self._address)
        if self._up and (error is None or isinstance(error, ConnectionError)):
            reason = self._closes.closed(
                [sent.suspect() for sent in self._in_flight.values()],
                session.unanswered_extras(),
                reason,
                is_short=self._driver.now_s() - self._up_since_s < STABLE_S,
            )
        self._lost(reason)

    # --- the session tells ------------------------------------------------------------------------------

    def session_accepted(self) -> None:
        assert self._session is not None
        self._session.subscribe(self._owner.link_topics())

    def session_subscribed(self) -> None:
        if self._up:
            return
        assert self._session is not None
        self._up = True
        self._up_since_s = self._driver.now_s()
        self.connections += 1
        self.last_error = ""
        self._arm_check()
        # Ahead of what is held: who takes a result of this life must have heard of it.
        greeting = self._owner.link_up()
        if self._closed:
            self._held.forget_last_words({topic for topic, _, _ in greeting})
        self.send_now(greeting)
        for extra in self._owner.link_extras():
            self.subscribe_also(extra)
        self._pump()
        self._tell_first_outcome()

    def session_extra(self, topic: str, granted: bool) -> None:
        self._closes.extra_answered(topic, granted)

    def session_message(self, topic: str, payload: bytes, retained: bool) -> None:
        try:
            self._owner.link_message(topic, payload, retained)
        except Exception:  # a fault of ours must not end the connection and be met again at every redelivery
            log.exception("could not take in a message on %s", topic)

    def session_acknowledged(self, mid: int) -> None:
        sent = self._in_flight.acknowledged(mid)
        if sent is not None:
            closes = self._closes
            closes.largest_acknowledged = max(closes.largest_acknowledged, len(sent.message[1]))
            if closes.suspects is not None:
                closes.suspects.acknowledged(sent.suspect())
                if not self._in_flight and not self._urgent:
                    closes.suspects.all_acknowledged()
        if not self._in_flight:
            self._in_flight.clear()  # also of its table, which is most of an idle link
        if (self._held.count or self._urgent or self._closed or self._idle) and not self._pump_due:
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
