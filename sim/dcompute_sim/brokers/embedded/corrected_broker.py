"""amqtt's broker corrected: who is connected, who takes over whose session, who gets which message.

Rules:

1. Every decision is taken in one step of the event loop: between looking at the tables and changing them
   nothing waits. CONNECT changes nothing until the client has shown who it is; then the old connection of
   its id is ended, and its will published, before the new one is attached [MQTT-3.1.4-2].
2. A client is silent after 1.5 x keepalive without a byte, not after 1 x; its connection then ends like a
   lost one, and its will is published [MQTT-3.1.2-24].
3. A message goes to those who asked for its topic, at the lower of its QoS and theirs; retained ones only
   to the new filters of the client that subscribes.
4. No writer waits for a client: what it does not read is bounded, and then it is disconnected.
5. At QoS 1 a message is in flight until its PUBACK, however long that takes, and sent again on a kept
   session.
6. With a password file everybody does what `access` lists for its role, and nothing else: what is not allowed
   is acknowledged and dropped, wills too, as MQTT 3.1.1 has no word for it; a subscription is refused.

Why a subclass, guarded by `guard` (which names every private method, its parameters and a hash of its
source): the faults lie in the middle of amqtt's own flow, where no plugin is asked. Rejected: patching the
installed package (other programs use it), a fork (nobody would follow upstream), and the model broker as
the default (the transports would then be proven on a broker of our own only).

What 0.12.1 does, measured (docs/embedded-broker.md; the private names have not changed since 0.11.0):
`handle_read_timeout` is `pass`, so keepalives never expire; `_delete_session` leaves the old connection
open, and its will later overwrites the live node's status; `_session_monitor` drops a client for its
predecessor's end; `_handle_client_session` sends everybody's retained messages, and iterates a dict that
others change (96 of 300 clients that connected at once died of it); `_handle_message_delivery` raises QoS 0
to the subscriber's; `_handle_qos1_message_flow` gives up after 5 s.
"""

from __future__ import annotations

import asyncio
import logging

from amqtt.adapters import BufferReader
from amqtt.broker import Broker
from amqtt.errors import AMQTTError, MQTTError
from amqtt.mqtt.constants import QOS_0, QOS_1, QOS_2
from amqtt.mqtt.disconnect import DisconnectPacket
from amqtt.mqtt.packet import CONNECT
from amqtt.mqtt.pingreq import PingReqPacket
from amqtt.mqtt.puback import PubackPacket
from amqtt.mqtt.pubcomp import PubcompPacket
from amqtt.mqtt.publish import PublishPacket
from amqtt.mqtt.pubrec import PubrecPacket
from amqtt.mqtt.pubrel import PubrelPacket
from amqtt.mqtt.subscribe import SubscribePacket
from amqtt.mqtt.unsubscribe import UnsubscribePacket
from amqtt.session import IncomingApplicationMessage, Session

from dcompute_sim.brokers.access import AccessRules
from dcompute_sim.brokers.embedded import framing
from dcompute_sim.brokers.embedded.client_connection import Absence, ClientConnection, lighten
from dcompute_sim.brokers.embedded.outbox import Outbox
from dcompute_sim.brokers.embedded.streams import PacketReader, PacketWriter
from dcompute_sim.brokers.embedded.subscriptions import Subscriptions
from dcompute_sim.brokers.model.topics import TopicTree

LISTENER = "default"
_UNRELEASED_MAX = 1_000  # QoS 2 messages of one client that wait for its PUBREL
_REFUSED = 0x80  # in SUBACK (3.9.3)
_CONNECT_TIMEOUT_S = 10.0  # from the connection to its CONNECT [MQTT-3.1.4]

_log = logging.getLogger(__name__)


class CorrectedBroker(Broker):  # type: ignore[misc]  # amqtt is untyped
    """Serves connections given to `external_connected`. Calls only those plugins that authenticate.

    Args:
        rules: who may do what, by user name; None: anybody anything.
    """

    def __init__(self, plugins: dict[str, dict[str, object]], rules: AccessRules | None = None) -> None:
        super().__init__({"listeners": {LISTENER: {"type": "external"}}, "plugins": plugins})
        self._wanted = Subscriptions()
        self._retained_topics = TopicTree()
        self._is_stopping = False
        self._rules = rules
        self._refused = 0

    # -- a connection from its CONNECT to its end

    async def _initialize_client_session(
        self, reader: PacketReader, writer: PacketWriter, remote_address: str, remote_port: int
    ) -> tuple[ClientConnection, Session]:
        """Read CONNECT. It changes nothing yet: that has to wait until the client has shown who it is."""
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                connect = await reader.packet()
            if connect is None:
                raise AMQTTError("closed before its CONNECT")
            if framing.check(connect) != CONNECT:
                raise framing.MalformedPacket("the first packet is not CONNECT [MQTT-3.1.0-1]")
            connection, session = await ClientConnection.init_from_connect(
                BufferReader(connect), writer, self.plugins_manager
            )
        except framing.UnsupportedProtocol as error:
            writer.write(error.answer)
            await writer.close()
            raise AMQTTError(str(error)) from None
        except (framing.MalformedPacket, MQTTError, TimeoutError) as error:
            await writer.close()
            raise AMQTTError(f"no usable CONNECT from {remote_address}:{remote_port}: {error}") from None
        session.password = framing.password(connect)  # amqtt has the text `b'...'` for one that is no UTF-8
        lighten(session)
        return connection, session

    async def _handle_client_session(
        self,
        reader: PacketReader,
        writer: PacketWriter,
        client_session: Session,
        handler: ClientConnection,
        server: object,
        listener_name: str,
    ) -> None:
        if not await self._authenticate(
            client_session, self.listeners_config[listener_name]
        ) or not self._may_connect(client_session):
            handler.attach(client_session, reader, writer)
            await handler.mqtt_connack_authorize(False)
            await writer.close()
            return
        reader.limit_bytes = framing.MAX_PACKET_BYTES
        client_id = client_session.client_id
        # The connection that has this client id ends first, its will included [MQTT-3.1.4-2]. A loop: of
        # several who come with one id at once, another may have got in during the wait.
        while client_id in self._sessions and self._sessions[client_id][1].is_open:
            await self._sessions[client_id][1].stop()
        session = self._begin_or_resume(client_session)
        self._sessions[session.client_id] = (session, handler)
        handler.attach(session, reader, writer)
        session.transitions.connect()
        await handler.mqtt_connack_authorize(True)
        await handler.start()
        said_goodbye = False
        try:
            said_goodbye = await self._converse(handler, session)
        except framing.MalformedPacket as error:
            _log.info("client %s is disconnected: %s", session.client_id, error)
        finally:
            await handler.close()
            try:
                await self._finish(session, said_goodbye=said_goodbye)
                if session.client_id in self._sessions:  # else it is not to be kept
                    self._sessions[session.client_id] = (session, Absence(handler.outbox))
            finally:  # whatever happened: who waits for this end (a successor, the end of the broker) gets it
                handler.mark_ended()

    def _may_connect(self, session: Session) -> bool:
        """Say whether the client id is this user's to take: who takes a client's id throws that client
        out."""
        if self._rules is None or self._rules.may_connect(session.username or "", session.client_id):
            return True
        _log.warning("user %r is refused: client id %r is not its own", session.username, session.client_id)
        return False

    def _may_publish(self, session: Session, topic: str) -> bool:
        """Say whether the rules let it; where not, nobody is told but the log [MQTT-3.3.5-2]."""
        if self._rules is None or self._rules.of(session.username or "").may_publish(topic):
            return True
        self._refused += 1
        if self._refused & (self._refused - 1) == 0:
            _log.warning(
                "user %r may not publish to %.80r: dropped (%d such so far)",
                *(session.username, topic, self._refused),
            )
        return False

    def _begin_or_resume(self, incoming: Session) -> Session:
        """Return the kept session of this client id, with what the new CONNECT says, or a new one."""
        kept, _ = self._sessions.get(incoming.client_id, (None, None))
        incoming.parent = 0  # "session present" in CONNACK
        if kept is None:
            return incoming
        if incoming.clean_session:
            self._forget(kept)
            return incoming
        for name in _OF_THE_CONNECTION:
            setattr(kept, name, getattr(incoming, name))
        kept.parent = 1
        return kept

    async def _finish(self, session: Session, *, said_goodbye: bool) -> None:
        """Publish the will of an ended connection unless it said DISCONNECT; drop its session if not kept.

        A broker that is stopped publishes no wills, as if its power had failed: otherwise a restart would
        leave a retained `dead` of every healthy client. (3.1.2.5 lets a broker defer them to its restart.)
        """
        try:
            may_speak = session.will_flag and self._may_publish(session, session.will_topic)
            if may_speak and not said_goodbye and not self._is_stopping:
                await self._publish(
                    session.will_topic, session.will_message, session.will_qos, session.will_retain
                )
        finally:
            session.will_flag = False
            session.transitions.disconnect()
            if session.clean_session:
                self._forget(session)

    def _forget(self, session: Session) -> None:
        self._wanted.forget(session.client_id)
        session.clear_queues()
        self._sessions.pop(session.client_id, None)

    def withhold_wills(self) -> None:
        """Withhold them: from now on connections end because the broker does, not because a client died."""
        self._is_stopping = True

    async def _session_monitor(self) -> None:
        """Do nothing: a session that is not to be kept ends with its connection, in `_finish`."""

    # -- packets

    async def _converse(self, connection: ClientConnection, session: Session) -> bool:
        """Serve the client's packets in order until it leaves; whether it said DISCONNECT."""
        while (packet := await connection.next_packet()) is not None:
            match packet:
                case PublishPacket():
                    await self._on_publish(connection, session, packet)
                case PubackPacket():
                    connection.outbox.acknowledged(packet.packet_id, QOS_1)
                case PubcompPacket():
                    connection.outbox.acknowledged(packet.packet_id, QOS_2)
                case PubrecPacket():
                    connection.outbox.received(packet.packet_id)
                case PubrelPacket():
                    # An unknown id is completed too: a client repeats a PUBREL whose PUBCOMP was lost.
                    released = session.inflight_in.pop(packet.packet_id, None)
                    if released is not None and self._may_publish(session, released.topic):
                        await self._publish(released.topic, released.data, released.qos, released.retain)
                    await connection._send_packet(PubcompPacket.build(packet.packet_id))
                case PingReqPacket():
                    await connection.handle_pingreq(packet)
                case SubscribePacket():
                    await self._on_subscribe(connection, session, packet)
                case UnsubscribePacket():
                    for topic_filter in packet.payload.topics:
                        self._wanted.remove(session.client_id, topic_filter)
                    await connection.mqtt_acknowledge_unsubscription(packet.variable_header.packet_id)
                case DisconnectPacket():
                    return True
                case _:  # a second CONNECT [MQTT-3.1.0-2]
                    raise framing.MalformedPacket("CONNECT in the middle of a connection")
        return False

    async def _on_publish(
        self, connection: ClientConnection, session: Session, packet: PublishPacket
    ) -> None:
        if packet.qos == QOS_2:
            # Delivered on PUBREL; until then a repetition of its id is the same message [MQTT-4.3.3-2].
            if packet.packet_id not in session.inflight_in and len(session.inflight_in) >= _UNRELEASED_MAX:
                raise framing.MalformedPacket(f"more than {_UNRELEASED_MAX} QoS 2 messages without PUBREL")
            message = IncomingApplicationMessage(
                packet.packet_id, packet.topic_name, packet.qos, packet.data, packet.retain_flag
            )
            session.inflight_in.setdefault(packet.packet_id, message)
            await connection._send_packet(PubrecPacket.build(packet.packet_id))
            return
        if self._may_publish(session, packet.topic_name):
            await self._publish(packet.topic_name, packet.data, packet.qos, packet.retain_flag)
        if packet.qos == QOS_1:
            await connection._send_packet(PubackPacket.build(packet.packet_id))

    async def _on_subscribe(
        self, connection: ClientConnection, session: Session, packet: SubscribePacket
    ) -> None:
        wanted = packet.payload.topics
        granted = [await self.add_subscription(subscription, session) for subscription in wanted]
        await connection.mqtt_acknowledge_subscription(packet.variable_header.packet_id, granted)
        for (topic_filter, qos), answer in zip(wanted, granted, strict=True):
            if answer != _REFUSED:
                self.send_retained(connection, topic_filter, qos)

    # -- messages

    async def retain_message(
        self, source_session: Session | None, topic_name: str, data: bytes, qos: int | None = None
    ) -> None:
        """Keep it, and its topic in a tree: a wildcard over 200,000 topics would hold everybody up for 2
        s."""
        await super().retain_message(source_session, topic_name, data, qos)
        if topic_name in self._retained_messages:
            self._retained_topics.add(topic_name.encode())
        else:
            self._retained_topics.discard(topic_name.encode())

    async def _publish(self, topic: str, data: bytes, qos: int, retain: bool) -> None:
        if retain:
            await self.retain_message(None, topic, data, qos)
        await self._broadcast_message(None, topic, data, qos)

    async def _broadcast_message(
        self, session: Session | None, topic: str, data: bytes, force_qos: int | None = None
    ) -> None:
        """Send it to every subscriber, at the lower of both sides' QoS [3.8.4], flagged as live
        [MQTT-3.3.1-9]."""
        for client_id, granted in self._wanted.match(topic).items():
            self._sessions[client_id][1].outbox.send(topic, data, min(force_qos or QOS_0, granted))

    def send_retained(self, connection: ClientConnection, topic_filter: str, qos: int) -> None:
        """Send what is retained under a filter just subscribed to, and nothing else [MQTT-3.3.1-6]."""
        if "+" in topic_filter or "#" in topic_filter:
            topics = [topic.decode() for topic in self._retained_topics.match(topic_filter.encode())]
        else:
            topics = [topic_filter] if topic_filter in self._retained_messages else []
        for topic in topics:
            message = self._retained_messages[topic]
            connection.outbox.send(topic, message.data, min(message.qos or QOS_0, qos), retain=True)

    async def add_subscription(self, subscription: tuple[str, int], session: Session) -> int:
        topic_filter, qos = subscription
        rules = self._rules
        if rules is not None and not rules.of(session.username or "").may_subscribe(topic_filter):
            return _REFUSED
        self._wanted.add(session.client_id, topic_filter, qos)
        return qos

    async def _del_all_subscriptions(self, session: Session) -> None:
        self._wanted.forget(session.client_id)

    # -- memory over a restart

    def subscriptions_of(self, client_id: str) -> dict[str, int]:
        return self._wanted.of(client_id)

    def adopt(self, session: Session, filters: dict[str, int]) -> None:
        """Take in a kept session whose client is not connected."""
        lighten(session)
        session.transitions.disconnect()
        self._sessions[session.client_id] = (session, Absence(Outbox(session)))
        for topic_filter, qos in filters.items():
            self._wanted.add(session.client_id, topic_filter, qos)


# What a CONNECT says anew for a kept session; amqtt forgets whether the will is to be retained, among others.
_OF_THE_CONNECTION = (
    "clean_session",
    "keep_alive",
    "password",
    "remote_address",
    "remote_port",
    "ssl_object",
    "username",
    "will_flag",
    "will_message",
    "will_qos",
    "will_retain",
    "will_topic",
)
