"""What can be chosen about the model broker: its limits, its policies, and who may connect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

MOSQUITTO_KEEPALIVE_STEP_S = 6.0
"""mosquitto 2.0 looks at keepalives every 6 s: a silent client's will comes up to that late."""

MAX_PACKET_BYTES = 5 + 268_435_455
"""The largest packet MQTT can frame: five bytes of fixed header and the largest remaining length (2.2.3)."""


MAX_IN_FLIGHT = 65_535
"""As many as there are packet identifiers (2.3.1)."""


class ReturnCode(IntEnum):
    """CONNACK return codes (table 3.1)."""

    ACCEPTED = 0
    UNACCEPTABLE_PROTOCOL_VERSION = 1
    IDENTIFIER_REJECTED = 2
    SERVER_UNAVAILABLE = 3
    BAD_USER_NAME_OR_PASSWORD = 4
    NOT_AUTHORIZED = 5


Authenticate = Callable[[str, str | None, bytes | None], ReturnCode]
"""(client id, user name, password) -> the code to answer CONNECT with; ACCEPTED lets the client in."""

Authorize = Callable[[str, str, bool], bool]
"""(client id, topic or filter, whether it publishes) -> whether it may."""


MayRead = Callable[[str, str], bool]
"""(client id, topic) -> whether a message on that topic is handed to the client that has subscribed to it."""


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """Limits and policies. The defaults are mosquitto's where it has one."""

    keepalive_step_s: float = 0.0  # silence is looked for at multiples of this; 0: exactly at 1.5 x keepalive
    connect_timeout_s: float = 20.0  # a connection without a CONNECT is closed after this [MQTT-3.1.4, 4.8]
    inflight_window: int = 20  # QoS 1 and 2 messages a client may leave unacknowledged
    queue_limit: int = 1000  # messages waiting for the window or for an absent client; beyond, one is dropped
    drops_oldest: bool = False  # then; otherwise the one that came last
    release_limit: int = 1000  # QoS 2 messages of a client that wait for its PUBREL; beyond, it is closed
    max_packet_bytes: int = MAX_PACKET_BYTES  # a longer packet closes the connection before it is read
    max_connections: int | None = None  # further clients are answered "server unavailable"
    authenticate: Authenticate | None = None  # None: anyone may connect
    authorize: Authorize | None = None  # None: all topics are everybody's
    may_read: MayRead | None = None  # None: who has subscribed to a message may have it
    closes_on_refusal: bool = False
    """What is not allowed ends the connection; else a PUBLISH is acknowledged, and lost, and a SUBSCRIBE
    refused."""
    refuses_sys: bool = False  # `$SYS` is nobody's to read
    retained_late_s: float = 0.0  # retained messages come so long after SUBACK, as they were then
    takeover_wills: bool = True  # the will of a connection that its successor ends is published

    def __post_init__(self) -> None:
        if not 1 <= self.inflight_window <= MAX_IN_FLIGHT:
            raise ValueError(
                f"inflight_window is {self.inflight_window}, must be 1 to 65535 (packet identifiers)"
            )
        if not 256 <= self.max_packet_bytes <= MAX_PACKET_BYTES:
            raise ValueError(
                f"max_packet_bytes is {self.max_packet_bytes}, must be 256 to {MAX_PACKET_BYTES}"
            )
