"""Who wants a message: topic filters of all clients in a tree of topic levels; no I/O.

amqtt compares every message with every filter of every client, and keeps the first QoS when a filter is
subscribed to again. Here a look-up costs by the levels of the topic, not by the number of filters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class _Level:
    below: dict[str, _Level] = field(default_factory=dict)
    granted: dict[str, int] = field(default_factory=dict)  # client id -> QoS, of the filter that ends here

    @property
    def is_bare(self) -> bool:
        return not self.below and not self.granted


class Subscriptions:
    """(client id, topic filter) -> granted QoS."""

    def __init__(self) -> None:
        self._root = _Level()
        self._of_client: dict[str, dict[str, int]] = {}

    def add(self, client_id: str, topic_filter: str, qos: int) -> None:
        """Subscribe, replacing the QoS of an identical filter [MQTT-3.8.4-3]."""
        level = self._root
        for name in topic_filter.split("/"):
            level = level.below.setdefault(name, _Level())
        level.granted[client_id] = qos
        self._of_client.setdefault(client_id, {})[topic_filter] = qos

    def remove(self, client_id: str, topic_filter: str) -> None:
        """Unsubscribe; a filter that was never subscribed to is no error."""
        filters = self._of_client.get(client_id, {})
        if topic_filter not in filters:
            return
        del filters[topic_filter]
        if not filters:
            del self._of_client[client_id]
        path = [self._root]
        names = topic_filter.split("/")
        for name in names:
            path.append(path[-1].below[name])
        del path[-1].granted[client_id]
        for parent, name in zip(reversed(path[:-1]), reversed(names), strict=True):
            if not parent.below[name].is_bare:
                break
            del parent.below[name]

    def forget(self, client_id: str) -> None:
        for topic_filter in list(self._of_client.get(client_id, {})):
            self.remove(client_id, topic_filter)

    def of(self, client_id: str) -> dict[str, int]:
        """Return a client's filters and their QoS."""
        return dict(self._of_client.get(client_id, {}))

    @property
    def is_empty(self) -> bool:
        return self._root.is_bare

    def match(self, topic: str) -> dict[str, int]:
        """Return who gets a message: each client once, at the highest QoS of its filters [MQTT-3.3.5-1]."""
        wanted: dict[str, int] = {}
        for level in _ending_in(self._root, topic.split("/"), wildcards=not topic.startswith("$")):
            for client_id, qos in level.granted.items():
                if qos >= wanted.get(client_id, 0):
                    wanted[client_id] = qos
        return wanted


def _ending_in(level: _Level, names: list[str], *, wildcards: bool) -> Iterator[_Level]:
    """Yield where the filters end that match `names`. A leading wildcard does not match `$...`
    [MQTT-4.7.2-1]."""
    if wildcards and "#" in level.below:
        yield level.below["#"]  # "#" also stands for the level above it: a/# matches a
    if not names:
        yield level
        return
    if names[0] in level.below:
        yield from _ending_in(level.below[names[0]], names[1:], wildcards=True)
    if wildcards and "+" in level.below:
        yield from _ending_in(level.below["+"], names[1:], wildcards=True)


def is_valid(topic_filter: str) -> bool:
    """Say whether wildcards stand alone in their level, and "#" in the last only [MQTT-4.7.1-2,
    MQTT-4.7.1-3]."""
    *upper, last = topic_filter.split("/")
    return (
        bool(topic_filter)
        and all(name == "+" or not _has_wildcard(name) for name in upper)
        and (last in ("+", "#") or not _has_wildcard(last))
    )


def _has_wildcard(name: str) -> bool:
    return "+" in name or "#" in name
