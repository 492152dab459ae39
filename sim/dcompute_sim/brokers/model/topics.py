"""Which subscriptions a topic matches, and which retained topics a filter matches (section 4.7).

Topics and filters are UTF-8 bytes throughout: the separators and wildcards are ASCII, matching is byte by
byte (no normalization, [MQTT-4.7.3-4]), and a message's topic need never be decoded.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)
Route = tuple[tuple[S, int], ...]
"""Who gets a message of one topic, and at which QoS at most: each subscriber once."""

_CACHED_TOPICS = 50_000  # topics whose routes are remembered; a flood of new topics must not fill the memory


def has_wildcard(topic_filter: bytes) -> bool:
    """Say whether this filter can match more than one topic."""
    # `b"+" in` asks first whether that is a number, which fails with an error: ten times the time.
    return topic_filter.find(b"+") >= 0 or topic_filter.find(b"#") >= 0


class _FilterNode(Generic[S]):
    __slots__ = ("children", "subscribers")

    def __init__(self) -> None:
        self.children: dict[bytes, _FilterNode[S]] = {}
        self.subscribers: dict[S, int] = {}


class SubscriptionIndex(Generic[S]):
    """Every subscription of every session.

    Filters without wildcards are one dictionary; its values are tuples, as nearly all have one subscriber and
    there are thousands. The others are a tree by level. Routes found are remembered until a subscription that
    could change them comes or goes, so a message costs one look-up however many others are subscribed to
    something else.
    """

    def __init__(self) -> None:
        self._exact: dict[bytes, Route[S]] = {}
        self._wild: _FilterNode[S] = _FilterNode()
        self.routes: dict[bytes, Route[S]] = {}  # read by the broker before it asks `route`

    def add(self, subscriber: S, topic_filter: bytes, qos: int) -> None:
        """Subscribe; an equal filter is replaced with its QoS [MQTT-3.8.4-3]."""
        if not has_wildcard(topic_filter):
            subscribers = dict(self._exact.get(topic_filter, ()))
            subscribers[subscriber] = qos
            self._exact[topic_filter] = tuple(subscribers.items())
            self.routes.pop(topic_filter, None)
            return
        node = self._wild
        for level in topic_filter.split(b"/"):
            child = node.children.get(level)
            if child is None:
                child = node.children[level] = _FilterNode()
            node = child
        node.subscribers[subscriber] = qos
        self.routes.clear()

    def discard(self, subscriber: S, topic_filter: bytes) -> None:
        """Unsubscribe; filters are compared character by character [MQTT-3.10.4-1]."""
        if not has_wildcard(topic_filter):
            subscribers = dict(self._exact.get(topic_filter, ()))
            if subscribers.pop(subscriber, None) is not None:
                self.routes.pop(topic_filter, None)
                if subscribers:
                    self._exact[topic_filter] = tuple(subscribers.items())
                else:
                    del self._exact[topic_filter]
            return
        node = self._wild
        path: list[tuple[_FilterNode[S], bytes]] = []
        for level in topic_filter.split(b"/"):
            child = node.children.get(level)
            if child is None:
                return
            path.append((node, level))
            node = child
        if node.subscribers.pop(subscriber, None) is None:
            return
        self.routes.clear()
        while path and not node.subscribers and not node.children:
            node, level = path.pop()
            del node.children[level]

    def n_held(self) -> int:
        """Count what is held: filters without wildcards, and levels of the tree of the others."""
        levels, nodes = 0, [self._wild]
        while nodes:
            node = nodes.pop()
            levels += len(node.children)
            nodes += node.children.values()
        return len(self._exact) + levels

    def route(self, topic: bytes) -> Route[S]:
        """Return who is to get a message of `topic`, at the highest QoS of their matching filters
        [MQTT-3.3.5-1]."""
        found = dict(self._exact.get(topic, ()))
        levels = topic.split(b"/")
        nodes = [self._wild]
        for depth, level in enumerate(levels):
            wildcards = depth > 0 or not topic.startswith(b"$")  # [MQTT-4.7.2-1]
            below: list[_FilterNode[S]] = []
            for node in nodes:
                if wildcards:
                    _merge(found, node.children.get(b"#"))
                    plus = node.children.get(b"+")
                    if plus is not None:
                        below.append(plus)
                same = node.children.get(level)
                if same is not None:
                    below.append(same)
            nodes = below
            if not nodes:
                break
        for node in nodes:
            _merge(found, node)
            _merge(found, node.children.get(b"#"))  # "sport/#" matches "sport" too (4.7.1.2)
        route = tuple(found.items())
        if len(self.routes) >= _CACHED_TOPICS:
            self.routes.clear()
        self.routes[topic] = route
        return route


def _merge(found: dict[S, int], node: _FilterNode[S] | None) -> None:
    if node is not None:
        for subscriber, qos in node.subscribers.items():
            if found.get(subscriber, -1) < qos:
                found[subscriber] = qos


class _TopicNode:
    """A level with others below it."""

    __slots__ = ("children", "topic")

    def __init__(self, topic: bytes | None) -> None:
        self.children: dict[bytes, _TopicNode | bytes] = {}  # bytes: a topic that has nothing below
        self.topic = topic  # that ends here as well


class TopicTree:
    """A set of topics that can be asked which of them a filter matches."""

    def __init__(self) -> None:
        self._root = _TopicNode(None)

    def add(self, topic: bytes) -> None:
        node = self._root
        *levels, last = topic.split(b"/")
        for level in levels:
            child = node.children.get(level)
            if not isinstance(child, _TopicNode):
                child = node.children[level] = _TopicNode(child)
            node = child
        child = node.children.get(last)
        if isinstance(child, _TopicNode):
            child.topic = topic
        else:
            node.children[last] = topic

    def discard(self, topic: bytes) -> None:
        node = self._root
        path: list[tuple[_TopicNode, bytes]] = []
        *levels, last = topic.split(b"/")
        for level in levels:
            child = node.children.get(level)
            if not isinstance(child, _TopicNode):
                return
            path.append((node, level))
            node = child
        child = node.children.get(last)
        if isinstance(child, _TopicNode):
            child.topic = None
            if child.children:
                return
        node.children.pop(last, None)
        while path and node.topic is None and not node.children:
            node, level = path.pop()
            del node.children[level]

    def match(self, topic_filter: bytes) -> list[bytes]:
        """Return the topics `topic_filter` matches, in an order that depends only on what was added when."""
        found: list[_TopicNode | bytes] = [self._root]
        for depth, level in enumerate(topic_filter.split(b"/")):
            if level == b"#":
                found = [below for top in found for below in _descendants(top, hide_dollar=depth == 0)]
                break
            nodes = [node for node in found if isinstance(node, _TopicNode)]
            if level == b"+":
                found = [
                    child
                    for node in nodes
                    for name, child in node.children.items()
                    if depth > 0 or not name.startswith(b"$")  # [MQTT-4.7.2-1]
                ]
            else:
                found = [node.children[level] for node in nodes if level in node.children]
        topics = [one.topic if isinstance(one, _TopicNode) else one for one in found]
        return [topic for topic in topics if topic is not None]


def _descendants(top: _TopicNode | bytes, *, hide_dollar: bool) -> list[_TopicNode | bytes]:
    """List `top` itself ("sport/#" matches "sport", 4.7.1.2) and all below; depth first, without
    recursion."""
    if not isinstance(top, _TopicNode):
        return [top]
    found: list[_TopicNode | bytes] = [top]
    stack = [child for name, child in top.children.items() if not (hide_dollar and name.startswith(b"$"))]
    stack.reverse()
    while stack:
        node = stack.pop()
        found.append(node)
        if isinstance(node, _TopicNode):
            stack.extend(reversed(node.children.values()))
    return found
