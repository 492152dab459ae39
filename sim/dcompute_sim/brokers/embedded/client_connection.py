"""One client's connection: amqtt's protocol handler without its tasks, its queues and its timeouts.

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
    """A session's newest connection. It stays when it has ended, to queue for the absent client."""

    outbox: Outbox

    def attach(self, session: Session, reader: PacketReader | None, writer: PacketWriter | None) -> None:
        super().attach(session, reader, writer)
        self.outbox = Outbox(session)
        self._ended = asyncio.Event()
        if writer is None:
            self._ended.set()

    @property
    def is_open(self) -> bool:
        return not self._ended.is_set()

    async def start(self) -> None:
        """Talk to the client from now on: watch for its silence, send what is waiting for it."""
        self._silence = KeepaliveTimer(self.reader, self.session.keep_alive, self.writer.abort)
        self.outbox.open(self.writer)

    async def stop(self) -> None:
        """End the connection, whatever the client does, and return when the broker is done with its end."""
        if self.writer is not None:
            self.writer.abort()
        await self._ended.wait()

    async def close(self) -> None:
        """The conversation is over: nothing more is sent or watched for."""
        self.outbox.close()
        self._silence.cancel()
        await self.writer.close()

    def mark_ended(self) -> None:
        """Lets `stop` return."""
        self._ended.set()

    async def next_packet(self) -> Any | None:
        """The client's next packet, decoded; None when its connection has ended."""
        data = await self.reader.packet()
        return None if data is None else await decode(data)

    async def _send_packet(self, packet: Any) -> None:
        self.writer.write(packet.to_bytes())


async def decode(data: bytes) -> Any:
    """amqtt's object for one whole packet; MalformedPacket if it is not well-formed."""
    kind = framing.check(data)
    return await packet_class(MQTTFixedHeader(kind)).from_stream(BufferReader(data))
