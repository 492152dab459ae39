"""A moment that the page asks for is what the replayer says, wherever one came from."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from dcompute_sim import trace as t
from dcompute_sim.page import index as index_module
from dcompute_sim.page.index import TraceIndex, TraceState, node_of
from dcompute_sim.trace.replayer import Replay
from dcompute_sim.trace.traffic import Traffic

from ..report.conftest import Fleet


@pytest.fixture(scope="module")
def events() -> list[t.Event]:
    return list(Fleet(nodes=12, seed=3, faults=6, tasks_per_node=4))


@pytest.fixture(autouse=True)
def close_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "APART", 37)


def facts(replay: Replay, traffic: Traffic) -> object:
    """All that a moment says, comparable."""
    nodes = {
        name: (s.link, s.inc, s.conn, s.stalled, s.waiting, s.at_work, s.status, s.status_inc, s.faults)
        for name, s in replay.nodes.items()
    }
    lies = traffic.connections, traffic.retained, traffic.tasks, traffic.results, traffic.dropped
    return nodes, replay.broker_is_up, replay.master_is_connected, lies


def plainly(events: Sequence[t.Event], position: int) -> object:
    replay, traffic = Replay(), Traffic()
    for event in events[: position + 1]:
        replay.take_in(event)
        traffic.take_in(event)
    return facts(replay, traffic)


def told(moment: TraceState) -> object:
    return facts(moment.replay, moment.traffic)


def test_every_moment_is_the_replayers_in_whatever_order_they_are_asked_for(events: list[t.Event]) -> None:
    index = TraceIndex(events)
    index.extend()
    rng = random.Random(5)
    asked = [0, len(events) - 1, -1, *(rng.randrange(len(events)) for _ in range(60))]
    for position in [*asked, *range(200, 220), *range(220, 200, -1)]:
        assert told(index.moment(position)) == plainly(events, position), position


def test_a_trace_that_grows_has_the_same_moments(events: list[t.Event]) -> None:
    growing: list[t.Event] = []
    index = TraceIndex(growing)
    for event in events:
        growing.append(event)
        if len(growing) % 50 == 0:
            index.extend()
            assert told(index.moment(len(growing) - 1)) == plainly(events, len(growing) - 1)
    index.extend()
    assert told(index.moment(77)) == plainly(events, 77)


def test_what_lies_in_the_future_of_a_paced_run_is_not_taken_in(events: list[t.Event]) -> None:
    index = TraceIndex(events)
    index.extend(until_us=20_000_000)
    assert len(index) == sum(event.t_us <= 20_000_000 for event in events)
    index.extend()
    assert len(index) == len(events)


def test_steps_go_to_the_next_of_what_is_asked_for(events: list[t.Event]) -> None:
    index = TraceIndex(events)
    index.extend()
    faults = [at for at, e in enumerate(events) if isinstance(e, t.FaultInjected | t.FaultEnded)]
    assert index.step(-1, 1, "fault") == faults[0]
    assert index.step(faults[0], 1, "fault") == faults[1]
    assert index.step(faults[1], -1, "fault") == faults[0]
    assert index.step(faults[0], -1, "fault") == faults[0], "there is none before"
    deaths = [at for at, e in enumerate(events) if isinstance(e, t.DeathReported)]
    assert index.step(len(events), -1, "death") == deaths[-1]
    node = node_of(events[faults[2]])
    assert node
    own = [at for at, e in enumerate(events) if node_of(e) == node]
    assert index.step(own[4], 1, "event", node) == own[5]
    assert index.step(own[4], -1, "event", node) == own[3]
    assert index.step(10, 1) == 11
    of_node = [at for at in faults if node_of(events[at]) == node]
    assert index.step(-1, 1, "fault", node) == of_node[0]
    assert index.around(own[5], 2, 1, node) == own[3:7]
    assert index.position_at(events[100].t_us) >= 100


def test_what_lies_between_the_participants_is_known() -> None:
    sent = t.TaskSent(t_us=1, node="n", task="a", priority=5)
    traffic = Traffic()
    begins: list[t.Event] = [
        t.WireOpened(t_us=0, node="n", conn=1),
        t.WireOpened(t_us=0, node="n", conn=2),
        t.StatusPublished(t_us=0, node="n", status="ready", inc="1"),
        sent,
    ]
    for event in begins:
        traffic.take_in(event)
    before = traffic.copy()
    assert traffic.connections == {"n": (1, 2)}
    assert traffic.retained == {"n": "ready"}
    assert traffic.tasks == {"a": ("n", 1)}
    goes_on: list[t.Event] = [
        t.WireClosed(t_us=2, node="n", conn=1, how="fin", by="node"),
        t.TaskReceived(t_us=2, node="n", task="a", priority=5),
        t.ResultHeld(t_us=3, node="n", task="a"),
        t.SaidGone(t_us=4, who="n", node="n", status="dead"),
        t.MessagesDropped(t_us=4, who="n", why="queue full", count=3, holds=1),
    ]
    for event in goes_on:
        traffic.take_in(event)
    assert (traffic.connections, traffic.tasks) == ({"n": (2,)}, {})
    assert traffic.results == {"a": ("n", 3)}
    assert traffic.retained == {"n": "dead"}
    assert traffic.dropped == {"n": 3}
    traffic.take_in(t.ResultReceived(t_us=5, node="n", task="a"))
    traffic.take_in(t.BrokerStopped(t_us=6, kept_memory=False))
    assert (traffic.results, traffic.retained) == ({}, {})
    assert before.tasks == {"a": ("n", 1)}, "a copy goes its own way"
