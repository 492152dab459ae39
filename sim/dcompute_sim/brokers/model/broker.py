"""The broker itself: an MQTT 3.1.1 server without sockets, clocks or threads. Bytes and times in, bytes out.

Whoever carries the bytes (simulated links, TCP) calls `opened`, `received`, `lost` and `tick`; the broker
answers through the `Port` it was given. Everything iterates in insertion order: equal calls, equal bytes.
Rules cite the standard: MQTT Version 3.1.1, OASIS Standard, 29 October 2014.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from dcompute_sim.brokers.model import packets, snapshot
from dcompute_sim.brokers.model.broker_config import BrokerConfig, ReturnCode
from dcompute_sim.brokers.model.edge import Observer, Port
from dcompute_sim.brokers.model.keepalive import KeepaliveWatch
from dcompute_sim.brokers.model.packets import Connect, ProtocolError, Refused
from dcompute_sim.brokers.model.router import MAY_NOT_PUBLISH, MAY_NOT_READ, Retained, Router
from dcompute_sim.brokers.model.session import Connection, Session
from dcompute_sim.net.mqtt_frames import HEADER_BYTES

_ACKNOWLEDGEMENTS = (packets.PUBACK, packets.PUBREC, packets.PUBREL, packets.PUBCOMP)


class Broker:
    """Decides what an MQTT 3.1.1 broker does with bytes that come.

    `dropped` counts messages lost to full queues and slow readers.
    """

    def __init__(self, config: BrokerConfig | None = None, observer: Observer | None = None) -> None:
        self.config = config if config is not None else BrokerConfig()
        self.dropped = 0
        self.sessions: dict[str, Session] = {}
        self._router = Router(self._drop, self.config.may_read)
        self._watch: KeepaliveWatch[Connection] = KeepaliveWatch()
        self._observer = observer
        self._max_length = self.config.max_packet_bytes - HEADER_BYTES
        self._now_s = 0.0  # of what is being read
        self._late: deque[tuple[float, Connection, list[Retained], int]] = deque()  # retained_late_s
        self._connected = 0
        self._ids_assigned = 0

    @property
    def retained(self) -> Mapping[bytes, tuple[int, bytes]]:
        """The retained messages, QoS and payload by topic."""
        return self._router.retained

    # --- what the transport calls -----------------------------------------------------------------------

    def opened(self, port: Port, now_s: float) -> Connection:
        """Begin with a transport connection was accepted."""
        connection = Connection(port, now_s)
        connection.group = self._watch.add(connection, self.config.connect_timeout_s)
        return connection

    def received(self, connection: Connection, data: bytes, now_s: float) -> None:
        """Take bytes that came in, cut anywhere. Never raises: what breaks the protocol closes the
        connection."""
        if not connection.is_open:
            return
        pending = connection.pending
        if pending is not None:
            pending += data
            if len(pending) < connection.wanted:
                return
            data = bytes(pending)
            connection.pending = None
        self._now_s = now_s
        try:
            if data == packets.PING and connection.session is not None:  # half of all that a fleet says
                connection.write(packets.PONG)
                whole = True
            else:
                whole = self._read(connection, data)
            if whole:
                connection.last_in_s = now_s
                if connection.group is not None:
                    connection.group.move_to_end(connection)
        except ProtocolError as error:
            self._close(connection, f"protocol error: {error}", with_will=True)
        except Refused as refusal:
            connection.write(refusal.answer)
            self._close(connection, str(refusal))  # [MQTT-3.2.2-5]

    def lost(self, connection: Connection, now_s: float) -> None:
        """End a connection, as its transport did (FIN, RST, timeout), with its will unless DISCONNECT came
        [MQTT-3.1.2-8]."""
        self._end(connection, "connection lost", with_will=True)

    def next_deadline_s(self) -> float | None:
        """Return when `tick` should next be called; early is harmless. None: no connection is watched."""
        silent_s = self._watch.deadline_s
        if not self._late:
            return silent_s
        return self._late[0][0] if silent_s is None else min(self._late[0][0], silent_s)

    def tick(self, now_s: float) -> None:
        """Close the connections silent for too long: 1.5 x keepalive [MQTT-3.1.2-24], or no CONNECT; deliver
        the retained messages that are late."""
        while self._late and self._late[0][0] <= now_s:
            _, connection, found, qos = self._late.popleft()
            if connection.is_open and connection.session is not None:
                self._router.deliver_retained(connection.session, found, qos)
        deadline_s = self._watch.deadline_s
        if deadline_s is None or now_s < deadline_s:
            return
        for connection in self._watch.take_silent(now_s):
            reason = "no CONNECT in time" if connection.session is None else "keepalive expired"
            self._close(connection, reason, with_will=True)

    def congested(self, connection: Connection, congested: bool) -> None:
        """Take note that the transport holds too much unsent data, or no longer: meanwhile QoS 0 messages are
        dropped."""
        session = connection.session
        if session is not None and session.connection is connection:
            session.write_qos0 = None if congested else connection.write

    def stop(self) -> None:
        """End in good order: close every session's connection, then publish their wills, so that memory kept
        says who is gone. Connections still without a session are the transport's to close."""
        gone = [session.connection for session in self.sessions.values() if session.connection is not None]
        for connection in gone:
            self._close(connection, "broker stopped")
        for connection in gone:
            self._publish_will(connection)

    def snapshot(self) -> bytes:
        """Return the memory that survives a restart: retained messages, kept sessions (of connected clients
        too)."""
        return snapshot.encode(self._router.retained, self.sessions)

    def restore(self, data: bytes) -> None:
        """Begin with the memory of `snapshot`; nobody is connected. Raises SnapshotError."""
        retained, sessions = snapshot.decode(data, self._new_session)
        for topic, (qos, payload) in retained.items():
            self._router.retain(topic, payload, qos)
        for session in sessions:
            self.sessions[session.client_id] = session
            for topic_filter, qos in session.subscriptions.items():
                self._router.subscribe(session, topic_filter, qos)

    # --- reading packets --------------------------------------------------------------------------------

    def _read(self, connection: Connection, data: bytes) -> bool:
        """Handle the whole packets in `data`, keep the rest. Whether there was a whole one."""
        position = 0
        end = len(data)
        session = connection.session
        if session is None and data and data[0] != packets.CONNECT << 4:
            raise ProtocolError("the first packet is not CONNECT [MQTT-3.1.0-1, 2.2.2-2]")
        while True:
            left = end - position
            if left < 2:
                needed = 2
                break
            first = data[position]
            length = data[position + 1]
            start = position + 2
            if length > 127:
                length &= 127
                shift = 7
                more = True
                while more and start < end:
                    if shift > 21:
                        raise ProtocolError("a remaining length of more than four bytes (2.2.3)")
                    byte = data[start]
                    start += 1
                    length |= (byte & 127) << shift
                    shift += 7
                    more = byte > 127
                if more:
                    needed = left + 1
                    break
                if length > self._max_length:
                    raise ProtocolError(f"a packet of {length} bytes, {self._max_length} are allowed")
                if session is None and length > packets.MAX_CONNECT_LENGTH:
                    raise ProtocolError("CONNECT longer than its content can be")
            stop = start + length
            if stop > end:
                needed = stop - position
                break
            if session is None:
                self._connect(connection, data[start:stop])
                session = connection.session
            elif first >> 4 == 3:
                self._publish(session, connection, data, position, start, stop)
            elif first == 0xC0 and not length:  # PINGREQ [MQTT-3.12.4-1]
                connection.write(packets.PONG)
            elif first == 0x40 and length == 2:  # PUBACK
                session.puback(data[start] << 8 | data[start + 1])
            else:
                self._other(session, connection, first, data[start:stop])
            position = stop
            if not connection.is_open:
                return True
        if left:
            connection.pending = bytearray(data[position:] if position else data)
            connection.wanted = needed
        return position > 0

    def _publish(
        self, session: Session, connection: Connection, data: bytes, position: int, start: int, stop: int
    ) -> None:
        """Take a PUBLISH of the client. Cut from `data` without a detour: this is what a broker does all
        day."""
        first = data[position]
        qos = first >> 1 & 3
        if stop - start < 2:
            raise ProtocolError("PUBLISH without a topic")
        topic_end = start + 2 + (data[start] << 8 | data[start + 1])
        payload_start = topic_end + 2 if qos else topic_end
        if payload_start > stop:
            raise ProtocolError("PUBLISH ends before its content does")
        topic = data[start + 2 : topic_end]
        router = self._router
        if topic not in router.routes:
            packets.check_topic(topic)  # the topics of known routes have been through this
        payload = data[payload_start:stop]
        if self.config.authorize is not None and not self._may_publish(session, topic):
            if qos == 1:
                connection.write(packets.PUBACK_HEAD + data[topic_end : topic_end + 2])
            elif qos == 2:
                connection.write(packets.PUBREC_HEAD + data[topic_end : topic_end + 2])
            return
        if self._observer is not None:
            self._observer.publish_heard(session.client_id, first, topic, payload)
        if qos == 0:
            if first & packets.DUP:
                raise ProtocolError("DUP at QoS 0 [MQTT-3.3.1-2]")
            if first & packets.RETAIN:
                router.retain(topic, payload, 0)
                router.deliver(topic, payload, 0)
            else:
                router.deliver(topic, payload, 0, data[position:topic_end])
            return
        packet_id = data[topic_end : topic_end + 2]
        if packet_id == b"\0\0":
            raise ProtocolError("packet identifier 0 [MQTT-2.3.1-1]")
        if qos == 1:
            if first & packets.RETAIN:
                router.retain(topic, payload, 1)
            router.deliver(topic, payload, 1, data[position:topic_end] if first == 0x32 else None)
            connection.write(packets.PUBACK_HEAD + packet_id)  # [MQTT-4.3.2-2]
        elif qos == 2:
            # Kept until PUBREL and delivered then; a repeat meanwhile is the same message [MQTT-4.3.3-2].
            number = int.from_bytes(packet_id, "big")
            if number not in session.incoming and len(session.incoming) >= self.config.release_limit:
                raise ProtocolError(f"more than {self.config.release_limit} QoS 2 messages without PUBREL")
            session.incoming.setdefault(number, (topic, payload, bool(first & packets.RETAIN)))
            connection.write(packets.PUBREC_HEAD + packet_id)
        else:
            raise ProtocolError("QoS 3 [MQTT-3.3.1-4]")

    def _may_publish(self, session: Session, topic: bytes) -> bool:
        """Say whether the access rules let it; where they do not, nobody is told but the broker's log
        [MQTT-3.3.5-2]."""
        if self._allows(session, topic):
            return True
        if self.config.closes_on_refusal:
            raise ProtocolError(f"{session.client_id} may not publish to {topic.decode()}")
        self._drop(session, topic, MAY_NOT_PUBLISH)
        return False

    def _allows(self, session: Session, topic: bytes) -> bool:
        authorize = self.config.authorize
        return authorize is None or authorize(session.client_id, topic.decode(), True)

    def _other(self, session: Session, connection: Connection, first: int, body: bytes) -> None:
        """Take every packet that is not on the fast path."""
        kind, flags = first >> 4, first & 15
        if kind in _ACKNOWLEDGEMENTS:
            packet_id = packets.parse_acknowledgement(kind, flags, body)
            if kind == packets.PUBREL:
                self._released(session, connection, packet_id)
            elif kind == packets.PUBREC:
                session.pubrec(packet_id)
            elif kind == packets.PUBCOMP:
                session.pubcomp(packet_id)
            else:
                session.puback(packet_id)
        elif kind == packets.SUBSCRIBE:
            self._subscribe(session, connection, *packets.parse_subscribe(flags, body))
        elif kind == packets.UNSUBSCRIBE:
            packet_id, filters = packets.parse_unsubscribe(flags, body)
            for topic_filter in filters:
                self._router.unsubscribe(session, topic_filter)
            connection.write(packets.UNSUBACK_HEAD + packet_id.to_bytes(2, "big"))  # [MQTT-3.10.4-4, -5]
        elif kind == packets.DISCONNECT:
            if flags or body:
                raise ProtocolError("DISCONNECT with flags or content [MQTT-3.14.1-1]")
            if self._observer is not None:
                self._observer.disconnect_heard(session.client_id)
            self._close(connection, "disconnect", with_will=False)  # [MQTT-3.14.4-3]
        elif kind == packets.CONNECT:
            raise ProtocolError("a second CONNECT [MQTT-3.1.0-2]")
        else:
            raise ProtocolError(f"no client sends a packet that begins 0x{first:02x} [MQTT-2.2.2-2]")

    # --- sessions ---------------------------------------------------------------------------------------

    def _connect(self, connection: Connection, body: bytes) -> None:
        connect = packets.parse_connect(body)
        client_id = connect.client_id
        if not client_id:
            if not connect.clean:
                raise Refused(ReturnCode.IDENTIFIER_REJECTED)  # [MQTT-3.1.3-8]
            while not client_id or client_id in self.sessions:  # a name nobody has [MQTT-3.1.3-6]
                self._ids_assigned += 1
                client_id = f"auto-{self._ids_assigned}"
        if self.config.authenticate is not None:
            code = self.config.authenticate(client_id, connect.user_name, connect.password)
            if code is not ReturnCode.ACCEPTED:
                raise Refused(code)
        taken_over = self._take_over(client_id, connect)
        # After the take over: who comes back has its own old place, also at a broker that is full.
        if self.config.max_connections is not None and self._connected >= self.config.max_connections:
            raise Refused(ReturnCode.SERVER_UNAVAILABLE)
        session = self.sessions.get(client_id)
        present = session is not None and not connect.clean  # [MQTT-3.2.2-1 to 3.2.2-3]
        if session is not None and connect.clean:
            self._forget(session)  # [MQTT-3.1.2-6]
        if session is None or connect.clean:
            session = self.sessions[client_id] = self._new_session(client_id, connect.clean)
        connection.session = session
        connection.will = connect.will
        self._unwatch(connection)
        # Half as long again as the client promised to be silent at most; 0: no limit [MQTT-3.1.2-24].
        if connect.keepalive_s:
            connection.group = self._watch.add(
                connection, 1.5 * connect.keepalive_s, self.config.keepalive_step_s
            )
        self._connected += 1
        session.attach(connection)
        if self._observer is not None:
            self._observer.connect_heard(client_id, connect)
            self._observer.session_opened(
                client_id, clean=connect.clean, present=present, taken_over=taken_over
            )
        connection.write(packets.connack(present, ReturnCode.ACCEPTED))  # [MQTT-3.1.4-4, 3.2.0-1]
        session.resume()

    def _new_session(self, client_id: str, clean: bool) -> Session:
        config = self.config
        return Session(client_id, clean, config.inflight_window, config.queue_limit, config.drops_oldest)

    def _take_over(self, client_id: str, connect: Connect) -> bool:
        """Close an earlier connection of this client [MQTT-3.1.4-2]; its will comes first.

        No will when a kept session goes on at its client's new connection, as in mosquitto: nobody died.
        """
        session = self.sessions.get(client_id)
        if session is None or session.connection is None:
            return False
        with_will = self.config.takeover_wills and (session.clean or connect.clean)
        self._close(session.connection, "taken over", with_will=with_will)
        return True

    def _close(self, connection: Connection, reason: str, *, with_will: bool = False) -> None:
        """Close the connection, as the broker."""
        if connection.is_open:
            connection.port.close()
            self._end(connection, reason, with_will=with_will)

    def _end(self, connection: Connection, reason: str, *, with_will: bool) -> None:
        """End the connection, whoever ended it."""
        if not connection.is_open:
            return
        connection.is_open = False
        connection.pending = None
        self._unwatch(connection)
        session = connection.session
        if session is None:
            if self._observer is not None:
                self._observer.connection_refused("", reason)
            return
        self._connected -= 1
        session.detach()
        if session.clean:
            self._forget(session)
        if self._observer is not None:
            self._observer.session_closed(session.client_id, reason)
        if with_will:
            self._publish_will(connection)

    def _publish_will(self, connection: Connection) -> None:
        will = connection.will
        session = connection.session
        if will is None or session is None:
            return
        if not self._allows(session, will.topic):
            self._drop(session, will.topic, MAY_NOT_PUBLISH)
            return
        if self._observer is not None:
            self._observer.will_published(connection.client_id, will.topic.decode(), will.payload)
        if will.retain:  # [MQTT-3.1.2-16, 3.1.2-17]
            self._router.retain(will.topic, will.payload, will.qos)
        self._router.deliver(will.topic, will.payload, will.qos)

    def _unwatch(self, connection: Connection) -> None:
        if connection.group is not None:
            connection.group.pop(connection, None)
            connection.group = None

    def _forget(self, session: Session) -> None:
        self._router.forget(session)
        del self.sessions[session.client_id]

    # --- messages ---------------------------------------------------------------------------------------

    def _subscribe(
        self, session: Session, connection: Connection, packet_id: int, wanted: list[tuple[bytes, int]]
    ) -> None:
        authorize = self.config.authorize
        refused = [
            topic_filter
            for topic_filter, _ in wanted
            if (authorize is not None and not authorize(session.client_id, topic_filter.decode(), False))
            or (self.config.refuses_sys and topic_filter.startswith(b"$SYS"))
        ]
        if refused and self.config.closes_on_refusal:
            raise ProtocolError(f"{session.client_id} may not subscribe to {refused[0].decode()}")
        codes = [packets.REFUSED if topic_filter in refused else qos for topic_filter, qos in wanted]
        wanted = [(topic_filter, qos) for topic_filter, qos in wanted if topic_filter not in refused]
        for topic_filter in refused:
            self._drop(session, topic_filter, MAY_NOT_READ)
        if self._observer is not None:
            self._observer.subscribe_heard(session.client_id, wanted)
        for topic_filter, qos in wanted:
            self._router.subscribe(session, topic_filter, qos)
        connection.write(packets.suback(packet_id, codes))  # [MQTT-3.8.4-1, 3.8.4-2, 3.9.3-1]
        for topic_filter, qos in wanted:  # also when the filter was there before [MQTT-3.8.4-3]
            found = self._router.retained_for(topic_filter)
            if self.config.retained_late_s and found:
                self._late.append((self._now_s + self.config.retained_late_s, connection, found, qos))
            else:
                self._router.deliver_retained(session, found, qos)

    def _released(self, session: Session, connection: Connection, packet_id: int) -> None:
        """Take a PUBREL: hand the QoS 2 message on, once; an unknown id is a repeat of one [MQTT-4.3.3-2]."""
        message = session.incoming.pop(packet_id, None)
        if message is not None:
            topic, payload, retain = message
            if retain:
                self._router.retain(topic, payload, 2)
            self._router.deliver(topic, payload, 2)
        connection.write(packets.PUBCOMP_HEAD + packet_id.to_bytes(2, "big"))

    def _drop(self, session: Session, topic: bytes, reason: str) -> None:
        self.dropped += 1
        if self._observer is not None:
            self._observer.message_dropped(session.client_id, topic.decode(), reason)
