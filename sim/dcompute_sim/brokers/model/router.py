"""Who gets which message: subscriptions, retained messages, delivery at the right QoS, what is dropped."""

from __future__ import annotations

from collections.abc import Callable

from dcompute_sim.brokers.model import packets
from dcompute_sim.brokers.model.broker_config import MayRead
from dcompute_sim.brokers.model.session import Session
from dcompute_sim.brokers.model.topics import Route, SubscriptionIndex, TopicTree

MAY_NOT_PUBLISH, MAY_NOT_READ = "may not publish", "may not read"
"""Why a message is dropped that the access rules do not allow."""

Retained = tuple[bytes, int, bytes]
"""Topic, QoS and payload."""

Dropped = Callable[[Session, bytes, str], None]
"""Is told of a message that will not reach a subscriber: the topic and why."""


class Router:
    """Knows every session's subscriptions and the retained messages."""

    def __init__(self, dropped: Dropped, may_read: MayRead | None = None) -> None:
        self.retained: dict[bytes, tuple[int, bytes]] = {}  # topic -> QoS, payload
        self._retained_topics = TopicTree()
        self._index: SubscriptionIndex[Session] = SubscriptionIndex()
        self.routes = self._index.routes
        self._dropped = dropped
        self._may_read = may_read

    def subscribe(self, session: Session, topic_filter: bytes, qos: int) -> None:
        """Add the subscription, or replace its QoS [MQTT-3.8.4-3]."""
        session.subscriptions[topic_filter] = qos
        self._index.add(session, topic_filter, qos)

    def unsubscribe(self, session: Session, topic_filter: bytes) -> None:
        if session.subscriptions.pop(topic_filter, None) is not None:
            self._index.discard(session, topic_filter)

    def forget(self, session: Session) -> None:
        """End its subscriptions."""
        for topic_filter in session.subscriptions:
            self._index.discard(session, topic_filter)

    def retain(self, topic: bytes, payload: bytes, qos: int) -> None:
        """Replace the topic's retained message [MQTT-3.3.1-5]; empty removes it [MQTT-3.3.1-10, -11]."""
        if payload:
            if topic not in self.retained:
                self._retained_topics.add(topic)
            self.retained[topic] = (qos, payload)
        elif self.retained.pop(topic, None) is not None:
            self._retained_topics.discard(topic)

    def deliver(self, topic: bytes, payload: bytes, qos: int, head: bytes | None = None) -> None:
        """Send a message to its subscribers, RETAIN off [MQTT-3.3.1-9]. `head`: its encoding if at hand."""
        route = self.routes.get(topic)
        if route is None:
            route = self._index.route(topic)
        if self._may_read is not None:
            route = self._readable(route, topic)
        heads: list[bytes | None] = [None, None, None]
        heads[qos] = head
        packet = b""
        for session, granted in route:
            level = granted if granted < qos else qos  # 4.3, [MQTT-3.8.4-6]
            encoded = heads[level]
            if encoded is None:
                encoded = heads[level] = packets.publish_head(topic, payload, level)
            if level:
                if not session.deliver(encoded, payload):
                    self._dropped(session, topic, "queue full")
            elif session.write_qos0 is not None:
                packet = packet or encoded + payload
                session.write_qos0(packet)
            elif session.write is not None:
                self._dropped(session, topic, "reads too slowly")

    def retained_for(self, topic_filter: bytes) -> list[Retained]:
        """Return what is retained for a filter: topic, QoS and payload."""
        return [(topic, *self.retained[topic]) for topic in self._retained_topics.match(topic_filter)]

    def deliver_retained(self, session: Session, found: list[Retained], granted: int) -> None:
        """Send what was retained for a filter just subscribed to, RETAIN on [MQTT-3.3.1-6, 3.3.1-8]."""
        for topic, published, payload in found:
            if self._may_read is not None and not self._readable(((session, granted),), topic):
                continue
            qos = min(published, granted)
            head = packets.publish_head(topic, payload, qos, retain=True)
            if qos:
                if not session.deliver(head, payload):
                    self._dropped(session, topic, "queue full")
            elif session.write_qos0 is not None:
                session.write_qos0(head + payload)
            else:
                self._dropped(session, topic, "reads too slowly")

    def _readable(self, route: Route[Session], topic: bytes) -> Route[Session]:
        """Return those who may have the message."""
        assert self._may_read is not None
        allowed = []
        for session, granted in route:
            if self._may_read(session.client_id, topic.decode()):
                allowed.append((session, granted))
            else:
                self._dropped(session, topic, MAY_NOT_READ)
        return tuple(allowed)
