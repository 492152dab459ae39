"""One MQTT session: a paho client on an in-memory socket, so that bytes go in and bytes come out.

paho does the protocol; who carries the bytes, and in which time, is not its business. One session is one
connection: a new one is made for each, so nothing of an old connection (queued packets, keepalive state,
will) can leak into the next. paho wants its socket calls on one thread: all of this runs on the driver's
loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import paho.mqtt.client as paho

from dcompute._mqtt.paho_client import MessageUser, PahoClient

QOS = 1
IN_FLIGHT = 20

Subscription = tuple[str, int]  # topic filter, QoS

_REFUSALS = {  # return codes of CONNACK (MQTT 3.1.1, table 3.1)
    1: "unacceptable protocol version",
    2: "client id rejected",
    3: "server unavailable",
    4: "bad user name or password (check username and password)",
    5: "not authorized (check username and password)",
}


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What every connection of one client has in common; MQTT counts `keepalive_s` in whole seconds.

    Raises ValueError for what no connection could be made with.
    """

    client_id: str
    keepalive_s: int
    username: str | None = None
    password: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.keepalive_s, int) or not 1 <= self.keepalive_s <= 65535:
            raise ValueError(f"keepalive must be from 1 to 65535 whole seconds, not {self.keepalive_s!r}")
        if self.password is not None and self.username is None:  # [MQTT-3.1.2-22]
            raise ValueError("a password needs a username")

    def __repr__(self) -> str:  # a password never reaches a log
        return f"SessionSettings({self.client_id!r}, keepalive_s={self.keepalive_s})"


class SessionUser(MessageUser, Protocol):
    """What a session tells its user. After `session_ended` nothing more comes."""

    def session_accepted(self) -> None: ...
    def session_subscribed(self) -> None: ...
    def session_extra(self, topic: str, granted: bool) -> None:
        """Take in that the broker has answered an optional subscription."""

    def session_ended(self, reason: str) -> None: ...


class PahoSession:
    """Runs paho for one connection, without its input and output.

    Args:
        will: (topic, payload, retain) of the QoS 1 last will, or None.
    """

    __slots__ = ("_client", "_ended", "_extras", "_keepalive_s", "_user")

    def __init__(
        self,
        settings: SessionSettings,
        will: tuple[str, bytes, bool] | None,
        user: SessionUser,
    ) -> None:
        self._user = user
        self._keepalive_s = settings.keepalive_s
        client = PahoClient(settings.client_id, self, user)
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password)
        if will is not None:
            client.will_set(will[0], will[1], qos=QOS, retain=will[2])
        self._client = client
        self._ended = False
        self._extras: dict[int, str] | None = None  # topics of optional subscriptions not answered yet

    @property
    def accepted(self) -> bool:
        """The broker has accepted the connection: it can be subscribed on."""
        return self._client.is_connected()

    def open(self, write: Callable[[bytes], None]) -> None:
        """Take in that the byte stream is up and `write` takes bytes to send: send CONNECT."""
        self._client.write = write
        self._client.send_connect(self._keepalive_s)
        self.flush()

    @property
    def feed(self) -> Callable[[bytes], None]:
        """What takes in received bytes. Bytes that are no MQTT end the session, never raise."""
        return self._client.feed

    def subscribe(self, topics: Sequence[Subscription], *, optional: bool = False) -> None:
        """Subscribe to all in one packet; answered by `session_subscribed`, an `optional` one (one topic) by
        `session_extra`. A refusal of what is not optional ends the session."""
        mid = self._client.send_subscribe(topics)
        if optional:
            self._extras = {**(self._extras or {}), mid: topics[0][0]}
        self.flush()

    def unanswered_extras(self) -> list[str]:
        """Return the topics of optional subscriptions that the broker has not answered."""
        return list((self._extras or {}).values())

    def publish(self, topic: str, payload: bytes, retain: bool, qos: int = QOS) -> int:
        """Queue a PUBLISH; at QoS 1 the returned id comes back in `session_acknowledged`. `flush` sends
        it."""
        return self._client.send_publish(topic, payload, qos, retain)

    def disconnect(self) -> None:
        """Send DISCONNECT: the broker will not publish the will."""
        self._ended = True
        self._client.leave()
        self.abandon()

    def abandon(self) -> None:
        """Forget the session without a word to anyone."""
        self._ended = True
        self._client.stop()

    def next_check_s(self) -> float:
        """Tell when `check` next has an effect: a ping is due, or its answer overdue."""
        client = self._client
        since_s, heard_s, pinged_s = client._last_msg_out, client._last_bytes_received, client._ping_t
        if heard_s < since_s:  # `min` takes three times as long, and each client asks at every ping
            since_s = heard_s
        if pinged_s and pinged_s < since_s:
            since_s = pinged_s
        return since_s + self._keepalive_s

    def check(self) -> None:
        """Ping when it is time, end the session when the last ping was not answered."""
        if self.next_check_s() <= paho.time_func():  # else something was sent or came in meanwhile
            self._client.check()

    def flush(self) -> None:
        """Write what is queued; while received bytes are taken in, once at their end for all answers."""
        self._client.flush()

    def _end(self, reason: str) -> None:
        if not self._ended:
            self.abandon()
            self._user.session_ended(reason)

    # --- what the client tells --------------------------------------------------------------------------

    def packet_connected(self, code: int) -> None:
        if self._ended:
            return
        if code:
            self._end(f"the broker refused the connection: {_REFUSALS.get(code, f'code {code}')}")
        else:
            self._user.session_accepted()

    def packet_subscribed(self, mid: int, granted: bool) -> None:
        if self._ended:
            return
        if self._extras and mid in self._extras:
            self._user.session_extra(self._extras.pop(mid), granted)
        elif granted:
            self._user.session_subscribed()
        else:
            self._end("the broker refused a subscription (access rules?)")

    def packet_end(self, reason: str) -> None:
        self._end("no answer within the keepalive" if reason == "Keep alive timeout" else reason)


__all__ = ["PahoSession", "SessionSettings", "SessionUser", "Subscription"]
