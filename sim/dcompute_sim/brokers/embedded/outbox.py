"""What is on its way to one client: QoS 1 and 2 messages kept until acknowledged, over connections; no I/O.

amqtt raises QoS 0 messages to the subscriber's QoS, gives a QoS 1 or 2 message up after 5 s or when the
connection ends, has no bound on unacknowledged messages, keeps nothing for an absent client that logged in
anonymously, and flags what it did keep as retained.

The state is amqtt's `Session`, so it outlives the connection: `retained_messages` holds what still waits to
be sent, `inflight_out` what was sent and not yet acknowledged, in order [MQTT-4.6.0-1].
"""

from __future__ import annotations

import logging
from typing import Protocol

from amqtt.mqtt.constants import QOS_0, QOS_2
from amqtt.mqtt.pubrel import PubrelPacket
from amqtt.session import OutgoingApplicationMessage, Session

from dcompute_sim.brokers.embedded.framing import MalformedPacket

# Unacknowledged messages on the wire: as many as mosquitto allows by default.
WINDOW = 20
# A client that stays away or does not acknowledge must not eat the memory: newer messages are dropped.
WAITING_MAX = 100_000
# QoS 0 means at most once: a client this far behind gets no more of them until it has caught up.
BACKLOG_MAX_BYTES = 8 * 1024 * 1024

_log = logging.getLogger(__name__)


class Wire(Protocol):
    """The connection as the outbox needs it."""

    @property
    def backlog_bytes(self) -> int: ...
    def write(self, data: bytes) -> None: ...


class Outbox:
    """Messages to one session; with a wire while its client is connected, without one in between."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._wire: Wire | None = None
        self.dropped = 0

    def open(self, wire: Wire) -> None:
        """Use a connection: send again what was not acknowledged [MQTT-4.4.0-1], then what waited."""
        self._wire = wire
        for message in self._session.inflight_out.values():
            wire.write(_release(message) if message.pubrec_packet else _publish(message, dup=True))
        self._fill_window()

    def close(self) -> None:
        self._wire = None

    def send(self, topic: str, data: bytes, qos: int, *, retain: bool = False) -> None:
        """Send now, or as soon as the window and the connection allow. Never waits."""
        message = OutgoingApplicationMessage(None, topic, qos, data, retain)
        if qos != QOS_0:
            if self._session.retained_messages.qsize() >= WAITING_MAX:
                self._drop(f"{WAITING_MAX} messages wait for it already")
                return
            self._session.retained_messages.put_nowait(message)
            self._fill_window()
        elif self._wire is None:
            return  # QoS 0 is not kept for a client that is away
        elif self._wire.backlog_bytes > BACKLOG_MAX_BYTES:
            self._drop("it does not read what it is sent")
        else:
            self._wire.write(_publish(message))

    def acknowledged(self, packet_id: int, qos: int) -> None:
        """Take a PUBACK (of QoS 1), or PUBCOMP (of QoS 2): the message has arrived. An unknown id is a
        repetition, and no error; one that goes by the other QoS, or was not released yet, is [MQTT-4.3.2-2,
        4.3.3-1]."""
        message = self._session.inflight_out.get(packet_id)
        if message is None:
            return
        if message.qos != qos or (qos == QOS_2 and not message.pubrec_packet):
            raise MalformedPacket(f"the wrong kind of acknowledgement for message {packet_id}")
        del self._session.inflight_out[packet_id]
        self._fill_window()

    def received(self, packet_id: int) -> None:
        """Take a PUBREC: the client has the QoS 2 message; release it, also when we no longer know of it."""
        message = self._session.inflight_out.get(packet_id)
        if message is not None:
            if message.qos != QOS_2:
                raise MalformedPacket(f"PUBREC for message {packet_id}, which is not of QoS 2")
            message.pubrec_packet = True  # what amqtt keeps here is only ever looked at for being there
        if self._wire is not None:
            self._wire.write(PubrelPacket.build(packet_id).to_bytes())

    def _fill_window(self) -> None:
        session = self._session
        while (
            self._wire is not None
            and len(session.inflight_out) < WINDOW
            and not session.retained_messages.empty()
        ):
            message = session.retained_messages.get_nowait()
            message.packet_id = session.next_packet_id
            session.inflight_out[message.packet_id] = message
            self._wire.write(_publish(message))

    def _drop(self, why: str) -> None:
        if not self.dropped:
            _log.warning("client %s loses messages: %s", self._session.client_id, why)
        self.dropped += 1


def _publish(message: OutgoingApplicationMessage, *, dup: bool = False) -> bytes:
    packet: bytes = message.build_publish_packet(dup=dup).to_bytes()
    return packet


def _release(message: OutgoingApplicationMessage) -> bytes:
    packet: bytes = PubrelPacket.build(message.packet_id).to_bytes()
    return packet
