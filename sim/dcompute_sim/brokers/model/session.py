"""What the broker remembers of one client (subscriptions, messages on their way), and the connection it has.

The two know each other, so they stand together: a session outlives its connections, and a connection is
there before its session is known.

A message in flight is kept as the very packet that was sent: its first byte says which acknowledgement is
due, and redelivery is sending it once more.
"""

from __future__ import annotations

from collections.abc import Callable

from dcompute_sim.brokers.model.edge import Port
from dcompute_sim.brokers.model.keepalive import KeepaliveGroup
from dcompute_sim.brokers.model.packets import DUP, PUBREL_HEAD, ProtocolError, Will

_PUBLISH_OF_QOS1 = 0x32
_PUBLISH_OF_QOS2 = 0x34
_PUBREL = PUBREL_HEAD[0]
_IGNORING_RETAIN = 0xFE


class Session:
    """Session state (3.1.2.4) of a connected client, or of an absent one that asked to be remembered."""

    __slots__ = (
        "clean",
        "client_id",
        "connection",
        "drops_oldest",
        "incoming",
        "inflight",
        "next_id",
        "queue",
        "queue_limit",
        "subscriptions",
        "window",
        "write",
        "write_qos0",
    )

    def __init__(
        self, client_id: str, clean: bool, window: int, queue_limit: int, drops_oldest: bool = False
    ) -> None:
        self.client_id = client_id
        self.clean = clean
        self.window = window
        self.queue_limit = queue_limit
        self.drops_oldest = drops_oldest
        self.subscriptions: dict[bytes, int] = {}
        self.inflight: dict[int, bytes] = {}  # packet id -> what was last sent under it
        # (head, payload) of what may not be sent yet; a list, as an empty deque takes 624 bytes
        self.queue: list[tuple[bytes, bytes]] = []
        self.incoming: dict[int, tuple[bytes, bytes, bool]] = {}  # topic, payload, retain until PUBREL
        self.next_id = 1
        self.connection: Connection | None = None
        self.write: Callable[[bytes], None] | None = None  # None: the client is absent
        self.write_qos0: Callable[[bytes], None] | None = None  # None also while the client reads too slowly

    def attach(self, connection: Connection) -> None:
        self.connection = connection
        self.write = self.write_qos0 = connection.write

    def detach(self) -> None:
        self.connection = self.write = self.write_qos0 = None

    def resume(self) -> None:
        """Send again, in order and under their ids, what was never acknowledged [MQTT-4.4.0-1, 4.6.0-1]."""
        assert self.write is not None
        for packet in self.inflight.values():
            if packet[0] == _PUBREL:
                self.write(packet)
            else:
                self.write(bytes((packet[0] | DUP,)) + packet[1:])  # [MQTT-3.3.1-1]
        self._fill_window()

    def deliver(self, head: bytes, payload: bytes) -> bool:
        """Send a QoS 1 or 2 message, or queue it. False: the queue is full and a message was dropped, this
        one or the oldest."""
        inflight = self.inflight
        if self.write is not None:
            if len(inflight) < self.window:
                packet_id = self.next_id
                while packet_id in inflight:  # [MQTT-2.3.1-4]
                    packet_id = packet_id % 65535 + 1
                self.next_id = packet_id % 65535 + 1
                inflight[packet_id] = packet = head + packet_id.to_bytes(2, "big") + payload
                self.write(packet)
                return True
            waiting = len(self.queue)
        else:
            waiting = len(self.queue) + len(inflight)  # an absent client has no window, as in mosquitto
        if waiting < self.queue_limit:
            self.queue.append((head, payload))
            return True
        if self.drops_oldest and self.queue:
            del self.queue[0]
            self.queue.append((head, payload))
        return False

    def puback(self, packet_id: int) -> None:
        """Settle a QoS 1 message: it has arrived."""
        packet = self.inflight.get(packet_id)
        if packet is None:
            if packet_id == 0:
                raise ProtocolError("packet identifier 0 [MQTT-2.3.1-1]")
            return  # a repeated acknowledgement
        if packet[0] & _IGNORING_RETAIN != _PUBLISH_OF_QOS1:
            raise ProtocolError("PUBACK for a QoS 2 message [MQTT-4.3.3-1]")
        self._arrived(packet_id)

    def pubrec(self, packet_id: int) -> None:
        """Release a QoS 2 message, which has arrived [MQTT-4.3.3-1]; an unknown one too, it may be a
        repeat."""
        packet = self.inflight.get(packet_id)
        pubrel = PUBREL_HEAD + packet_id.to_bytes(2, "big")
        if packet is not None:
            if packet[0] != _PUBREL and packet[0] & _IGNORING_RETAIN != _PUBLISH_OF_QOS2:
                raise ProtocolError("PUBREC for a QoS 1 message [MQTT-4.3.2-2]")
            self.inflight[packet_id] = pubrel
        if self.write is not None:
            self.write(pubrel)

    def pubcomp(self, packet_id: int) -> None:
        """Settle a QoS 2 message: it is complete."""
        packet = self.inflight.get(packet_id)
        if packet is None:
            return
        if packet[0] != _PUBREL:
            raise ProtocolError("PUBCOMP for a message that was not released [MQTT-4.3.3-1]")
        self._arrived(packet_id)

    def _arrived(self, packet_id: int) -> None:
        del self.inflight[packet_id]
        if self.queue:
            self._fill_window()
        elif not self.inflight:
            self.inflight.clear()  # also of its table, which is much of an idle session

    def _fill_window(self) -> None:
        while self.queue and len(self.inflight) < self.window:
            self.deliver(*self.queue.pop(0))


class Connection:
    """One transport connection and, after its CONNECT, the session on it."""

    __slots__ = ("group", "is_open", "last_in_s", "pending", "port", "session", "wanted", "will", "write")

    def __init__(self, port: Port, now_s: float) -> None:
        self.port = port
        self.write = port.write
        self.is_open = True
        self.session: Session | None = None
        self.will: Will | None = None
        self.last_in_s = now_s  # when the last whole packet came [MQTT-3.1.2-24]
        # None: keepalive 0, may be silent for ever (3.1.2.10)
        self.group: KeepaliveGroup[Connection] | None = None
        self.pending: bytearray | None = None  # the beginning of a packet whose end has not come
        self.wanted = 0  # bytes `pending` needs before it is worth looking at again

    @property
    def client_id(self) -> str:
        """The client's id, "" before its CONNECT was accepted."""
        return self.session.client_id if self.session is not None else ""
