"""One client's connection: amqtt's protocol handler without its tasks, its queues and its timeouts; and what
is left of it while a client that is to be remembered is away.

amqtt handles each packet in a task of its own (so their order is up to the scheduler) and hands it on
through queues to a second loop. Here the broker takes the packets one by one, in the order they came
[MQTT-4.6.0-4].
"""

from __future__ import annotations

import asyncio
from typing import Any

from amqtt.adapters import BufferReader
from amqtt.mqtt import packet_class
from amqtt.mqtt.packet import MQTTFixedHeader
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.session import Session

from dcompute_sim.brokers.embedded import framing
from dcompute_sim.brokers.embedded.outbox import Outbox
from dcompute_sim.brokers.embedded.streams import KeepaliveTimer, PacketReader, PacketWriter


class ClientConnection(BrokerProtocolHandler):  # type: ignore[misc]  # amqtt is untyped
    """A session's newest connection."""

    outbox: Outbox

    def attach(self, session: Session, reader: PacketReader, writer: PacketWriter) -> None:
        super().attach(session, reader, writer)
        self.outbox = Outbox(session)
        self._ended = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return not self._ended.is_set()

    async def start(self) -> None:
        """Talk to the client from now on: watch for its silence, send what is waiting for it."""
        self._silence = KeepaliveTimer(self.reader, self.session.keep_alive, self.writer.abort)
        self.outbox.open(self.writer)

    async def stop(self) -> None:
        """End the connection, whatever the client does, and return when the broker is done with its end."""
        self.writer.abort()
        await self._ended.wait()

    async def close(self) -> None:
        """End the conversation: nothing more is sent or watched for."""
        self.outbox.close()
        self._silence.cancel()
        await self.writer.close()

    def mark_ended(self) -> None:
        """Let `stop` return."""
        self._ended.set()

    async def next_packet(self) -> object | None:
        """Return the client's next packet, decoded; None when its connection has ended."""
        data = await self.reader.packet()
        return None if data is None else await decode(data)

    async def _send_packet(self, packet: Any) -> None:
        self.writer.write(packet.to_bytes())


class Absence:
    """In the place of a connection: queues for a client that is away."""

    __slots__ = ("outbox",)
    is_open = False

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox

    async def stop(self) -> None:
        """Do nothing: nothing is there to be ended."""


class _Presence:
    """Whether a session's client is connected: all that is asked of the state machine that each of amqtt's
    sessions has, and that is half of what a session weighs."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = "new"

    def connect(self) -> None:
        self.state = "connected"

    def disconnect(self) -> None:
        self.state = "disconnected"

    def is_connected(self) -> bool:
        return self.state == "connected"


class _UnusedQueue:
    """In the place of the second queue of each session, which belongs to the loops that are not used here."""

    def empty(self) -> bool:
        return True


_UNUSED = _UnusedQueue()


def lighten(session: Session) -> None:
    """Take from amqtt's session what the broker does not use of it: a fleet's sessions stay for ever."""
    session.transitions = _Presence()
    session.delivered_message_queue = _UNUSED


async def decode(data: bytes) -> Any:
    """Return amqtt's object for one whole packet; MalformedPacket if it is not well-formed."""
    kind = framing.check(data)
    return await packet_class(MQTTFixedHeader(kind)).from_stream(BufferReader(data))
