"""The subscription index and the tree of retained topics against the plain words of section 4.7."""

from __future__ import annotations

import time

import pytest
from dcompute_sim.brokers.model.topics import SubscriptionIndex, TopicTree
from hypothesis import given, settings
from hypothesis import strategies as st


def matches(topic_filter: str, topic: str) -> bool:
    """Section 4.7 read aloud; slow and without cleverness."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic[0] == "$" and wanted[0] in ("+", "#"):
        return False
    for position, level in enumerate(wanted):
        if level == "#":
            return True  # the parent level too: "a/#" matches "a"
        if position == len(levels) or level not in ("+", levels[position]):
            return position == len(levels) and wanted[position:] == ["#"]
    return len(wanted) == len(levels)


EXAMPLES = [  # from 4.7.1.2, 4.7.1.3, 4.7.2
    ("sport/tennis/player1/#", "sport/tennis/player1", True),
    ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
    ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
    ("sport/#", "sport", True),
    ("#", "any/thing", True),
    ("sport/tennis/+", "sport/tennis/player1", True),
    ("sport/tennis/+", "sport/tennis/player1/ranking", False),
    ("sport/+", "sport", False),
    ("sport/+", "sport/", True),
    ("+/+", "/finance", True),
    ("/+", "/finance", True),
    ("+", "/finance", False),
    ("#", "$SYS/x", False),
    ("+/monitor/Clients", "$SYS/monitor/Clients", False),
    ("$SYS/#", "$SYS/x", True),
    ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
    ("ACCOUNTS", "Accounts", False),
]


@pytest.mark.parametrize(("topic_filter", "topic", "expected"), EXAMPLES)
def test_the_standards_own_examples(topic_filter: str, topic: str, expected: bool) -> None:
    index: SubscriptionIndex[str] = SubscriptionIndex()
    index.add("s", topic_filter.encode(), 0)
    tree = TopicTree()
    tree.add(topic.encode())
    assert bool(index.route(topic.encode())) is expected
    assert tree.match(topic_filter.encode()) == ([topic.encode()] if expected else [])
    assert matches(topic_filter, topic) is expected


_level = st.sampled_from(("a", "b", "", "$c"))
_topic = st.lists(_level, min_size=1, max_size=4).map("/".join).filter(bool)
_filter = (
    st.tuples(st.lists(st.sampled_from(("a", "b", "", "$c", "+")), min_size=0, max_size=4), st.booleans())
    .map(lambda parts: "/".join(parts[0] + ["#"] * (parts[1] or not any(parts[0]))))
    .filter(bool)
)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), _filter, st.none() | st.integers(0, 2)), max_size=25),
    st.lists(_topic),
)
def test_routes_follow_every_change(changes: list[tuple[int, str, int | None]], asked: list[str]) -> None:
    index: SubscriptionIndex[int] = SubscriptionIndex()
    expected: dict[tuple[int, str], int] = {}
    for subscriber, topic_filter, qos in changes:
        if qos is None:
            index.discard(subscriber, topic_filter.encode())
            expected.pop((subscriber, topic_filter), None)
        else:
            index.add(subscriber, topic_filter.encode(), qos)
            expected[subscriber, topic_filter] = qos
        for topic in asked:  # also fills the cache that the next change must not leave stale
            wanted: dict[int, int] = {}
            for (who, each), level in expected.items():
                if matches(each, topic):
                    wanted[who] = max(level, wanted.get(who, 0))
            assert dict(index.routes.get(topic.encode(), index.route(topic.encode()))) == wanted


def test_nothing_is_left_of_removed_filters() -> None:
    index: SubscriptionIndex[int] = SubscriptionIndex()
    for number in range(100):
        index.add(number, b"a/%d/+" % number, 0)
        index.add(number, b"a/%d" % number, 0)
    assert index.n_held() == 100 + 1 + 2 * 100  # whole filters; levels of the tree
    for number in range(100):
        index.discard(number, b"a/%d/+" % number)
        index.discard(number, b"a/%d" % number)
    assert index.n_held() == 0


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(st.tuples(_topic, st.booleans()), max_size=30), st.lists(_filter))
def test_retained_topics_follow_every_change(changes: list[tuple[str, bool]], asked: list[str]) -> None:
    tree = TopicTree()
    expected: set[str] = set()
    for topic, present in changes:
        (tree.add if present else tree.discard)(topic.encode())
        (expected.add if present else expected.discard)(topic)
    for topic_filter in asked:
        found = [topic.decode() for topic in tree.match(topic_filter.encode())]
        assert sorted(found) == sorted(topic for topic in expected if matches(topic_filter, topic))


def test_a_flood_of_topics_does_not_fill_the_memory() -> None:
    index: SubscriptionIndex[int] = SubscriptionIndex()
    for number in range(60_000):
        index.route(b"t/%d" % number)
    assert len(index.routes) <= 50_000


def test_unrelated_subscriptions_cost_a_message_nothing() -> None:
    """Uncached look-ups among 10 and among 20,000 others, wildcards and all; factor 3 for a noisy machine."""

    def cost_s(others: int) -> float:
        index: SubscriptionIndex[int] = SubscriptionIndex()
        for number in range(others):
            index.add(number, b"n%d/status" % number, 1)
            index.add(number, b"n%d/+/x" % number, 1)
            index.add(number, b"group/n%d/#" % number, 1)
        index.add(-1, b"+/status", 1)
        best = float("inf")
        for _ in range(20):
            began_s = time.perf_counter()
            for _ in range(200):
                index.routes.clear()
                assert len(index.route(b"n5/status")) == 2
            best = min(best, time.perf_counter() - began_s)
        return best

    assert cost_s(20_000) < 3 * cost_s(10)
