"""What a scenario says of fleet, network, work and selection is what the trace shows."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import TypeVar

import pytest
from dcompute_sim import trace as t
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario, check
from dcompute_sim.trace import Event

from .conftest import Run

BARE = Path(__file__).parent / "foreign" / "bare_umqtt"


@pytest.fixture(scope="module")
def events() -> list[Event]:
    """One run with everything in it."""
    scenario = Scenario.model_validate(
        {
            "version": 1,
            "name": "language",
            "duration": "90s",
            "network": {"latency": "5ms"},
            "fleet": {
                "slow": {"count": 4, "ramp": "3s", "work": {"uniform": {"min": "100ms", "max": "2s"}}},
                "far": {
                    "count": 4,
                    "start": "2s",
                    "work": {"exponential": {"mean": "200ms"}},
                    "network": {"latency": "50ms", "jitter": "20ms", "bandwidth": "20KiB/s"},
                },
                "looks": {"count": 2, "poll": "2s", "work": {"normal": {"mean": "1s", "sd": "100ms"}}},
                "esp": {"kind": "firmware", "count": 2, "heap": "200KiB"},
                "bare": {"kind": "firmware", "count": 2, "files": str(BARE), "keepalive": "300s"},
                "older": {"count": 2, "variant": "retained-results", "work": "1s"},
            },
            "workload": [
                {"id": "t0", "tasks": 100, "rate": "5/s", "at": "10s",
                 "via": "transport", "target": {"group": "slow", "pick": "least_busy"},
                 "priority": {10: 1, 5: 3, 1: 6}, "payload": "1KiB"},
                {"id": "t1", "loop": {"closed": {"outstanding": 3}}, "at": "10s", "until": "40s",
                 "target": {"group": "far"}},
                {"id": "t2", "burst": 2, "every": "5s", "at": "10s", "until": "30s",
                 "target": {"node": "looks-2"}},
                {"id": "t3", "tasks": 10, "at": "10s", "target": {"group": "esp", "pick": "all"}},
                {"id": "t4", "tasks": 40, "rate": "4/s", "at": "50s", "via": "transport",
                 "target": {"group": "slow", "pick": "round_robin"}},
                {"id": "t5", "tasks": 40, "rate": "4/s", "at": "50.01s", "via": "transport",
                 "target": {"group": "far", "pick": "round_robin"}},
                {"id": "t6", "tasks": 40, "rate": "4/s", "at": "50s", "target": {"group": "esp"},
                 "task": {"function": "sleep", "args": [0.2]}, "arrivals": "poisson"},
                {"id": "t7", "tasks": 10, "at": "30s", "target": {"group": "bare"}},
                {"id": "t8", "tasks": 10, "at": "30s", "target": {"group": "older"}},
            ],
            "faults": [
                {"kind": "reset", "at": "70s", "select": {"group": "slow", "fraction": "75%"}},
                {"kind": "reset", "every": "2s", "at": "75s", "until": "79s",
                 "select": {"group": ["far", "looks"], "count": 2}},
                {"kind": "reset", "at": "81s", "select": {"names": ["esp-2", "far-1"]}},
                {"kind": "reset", "at": "83s", "select": {"status": "ready", "group": "esp", "count": "all"}},
                {"kind": "reset", "between": ["84s", "85s"], "times": 3, "select": {"group": "slow"}},
                {"kind": "reset", "when": {"event": "fault_injected", "node": "far-1", "after": "4.5s"},
                 "select": {"same": True}},
            ],
        }
    )  # fmt: skip
    check(scenario)
    return list(run_scenario(scenario, RunOptions(time="virtual")).trace)


T = TypeVar("T", t.TaskSent, t.TaskReceived, t.TaskTaken, t.ResultReceived)


def of(events: list[Event], kind: type[T], stream: int) -> list[T]:
    return [e for e in events if isinstance(e, kind) and e.task.startswith(f"t{stream}-")]


def group(event: t.TaskSent | t.TaskReceived | t.TaskFinished) -> str:
    return event.node.rpartition("-")[0]


def test_nodes_start_along_the_ramp(events: list[t.Event]) -> None:
    started = {e.node: e.t_s for e in events if type(e) is t.NodeStarted}
    assert [started[f"slow-{i}"] for i in (1, 2, 3, 4)] == [0, 0.75, 1.5, 2.25]
    assert {started[f"far-{i}"] for i in (1, 2, 3, 4)} == {2}


def test_tasks_take_as_long_as_their_distribution_says(events: list[t.Event]) -> None:
    taken: dict[str, float] = {}
    took: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if type(event) is t.TaskTaken:
            taken[event.task] = event.t_s
        elif type(event) is t.TaskFinished and event.task in taken:  # not all firmware tells when
            took[group(event)].append(event.t_s - taken[event.task])
    assert 0.1 <= min(took["slow"]) < 0.3
    assert 1.8 < max(took["slow"]) <= 2.0
    assert mean(took["far"]) == pytest.approx(0.2, rel=0.3)
    assert max(took["far"]) > 3 * mean(took["far"])
    assert mean(took["looks"]) == pytest.approx(1, abs=0.06)
    assert median(took["esp"][20:]) == pytest.approx(0.2, abs=0.05)  # what the task itself says


def test_each_group_has_its_network(events: list[t.Event]) -> None:
    sent: dict[str, float] = {}
    way: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if type(event) is t.TaskSent:
            sent[event.task] = event.t_s
        elif type(event) is t.TaskReceived:
            way[group(event)].append(event.t_s - sent[event.task])
    assert min(way["slow"]) > 0.005
    assert median(way["slow"]) < 0.015  # the master is at the broker
    assert min(way["far"]) > 0.05
    assert 0.06 < median(way["far"]) < 0.11
    assert len({round(s, 5) for s in way["far"]}) > 20, "jitter"


def test_poll_is_how_long_a_waiting_node_may_not_look(events: list[t.Event]) -> None:
    received = {e.task: e.t_s for e in of(events, t.TaskReceived, 2)}
    firsts = [of(events, t.TaskTaken, 2)[i] for i in range(0, 10, 2)]
    waits = [e.t_s - received[e.task] for e in firsts]
    assert 0.2 < max(waits) <= 2.0


def test_the_least_busy_is_chosen(events: list[t.Event]) -> None:
    """And of equally busy ones the one that has waited longest for a task."""
    at: dict[str, str] = {}
    busy: Counter[str] = Counter()
    last: Counter[str] = Counter()
    nodes = [f"slow-{i}" for i in (1, 2, 3, 4)]
    for event in events:
        if type(event) is t.TaskSent and group(event) == "slow":
            if event.task.startswith("t0-"):
                assert (busy[event.node], last[event.node]) == min((busy[n], last[n]) for n in nodes)
            last[event.node] = event.t_us
            at[event.task] = event.node
            busy[event.node] += 1
        elif type(event) is t.ResultReceived and event.task in at:
            busy[at.pop(event.task)] -= 1
        if event.t_s > 60:
            break
    assert Counter(e.node for e in of(events, t.TaskSent, 0)).keys() == set(nodes)


def test_an_idle_fleet_shares_the_work(run: Run) -> None:
    fleet = {"py": {"count": 4, "work": "10ms"}}
    workload = [{"id": "t0", "tasks": 20, "rate": "1/s", "at": "2s", "target": "least_busy"}]
    outcome = run({"duration": "30s", "fleet": fleet, "workload": workload})
    assert Counter(e.node for e in of(outcome.trace.events, t.TaskSent, 0)) == dict.fromkeys(
        ("py-1", "py-2", "py-3", "py-4"), 5
    )


@pytest.mark.parametrize(("stream", "name"), [(4, "slow"), (5, "far")])
def test_in_turn_is_in_turn_whatever_other_streams_do(events: list[t.Event], stream: int, name: str) -> None:
    given = Counter(e.node for e in of(events, t.TaskSent, stream))
    assert given == {f"{name}-{i}": 10 for i in (1, 2, 3, 4)}


def test_all_and_a_name(events: list[t.Event]) -> None:
    assert Counter(e.node for e in of(events, t.TaskSent, 3)) == {"esp-1": 10, "esp-2": 10}
    assert {e.node for e in of(events, t.TaskSent, 2)} == {"looks-2"}


def test_priorities_and_sizes(events: list[t.Event]) -> None:
    first = of(events, t.TaskSent, 0)
    assert {e.size for e in first} == {1024}
    counts = Counter(e.priority for e in first)
    assert counts[1] > counts[5] > counts[10] > 0


def test_pace(events: list[t.Event]) -> None:
    even = [e.t_s for e in of(events, t.TaskSent, 0)]
    assert even == pytest.approx([10 + i / 5 for i in range(100)])
    assert Counter(round(e.t_s, 3) for e in of(events, t.TaskSent, 2)) == dict.fromkeys(
        [10, 15, 20, 25, 30], 2
    )
    uneven = [e.t_s for e in of(events, t.TaskSent, 6)]
    gaps = [b - a for a, b in pairwise(uneven)]
    assert len(gaps) == 39
    assert max(gaps) > 2 * mean(gaps) > 4 * min(gaps)


def test_a_closed_loop_keeps_so_many_unfinished(events: list[t.Event]) -> None:
    unfinished = 0
    seen: Counter[int] = Counter()
    for event in events:
        if isinstance(event, t.TaskSent | t.ResultReceived) and event.task.startswith("t1-"):
            unfinished += 1 if type(event) is t.TaskSent else -1
            if 10.1 < event.t_s < 40:
                seen[unfinished] += 1
    assert set(seen) == {2, 3}  # 2 for the moment between a result and the next task
    assert of(events, t.TaskSent, 1)[-1].t_s <= 40


def test_faults_hit_whom_and_when_the_scenario_says(events: list[t.Event]) -> None:
    struck: dict[float, list[str]] = defaultdict(list)
    for event in events:
        if type(event) is t.FaultInjected:
            struck[event.t_s].append(event.node)
    assert len(struck[70.0]) == len(set(struck[70.0])) == 3
    for moment_s in (75.0, 77.0, 79.0):
        assert len(set(struck[moment_s])) == 2
        assert {name.split("-")[0] for name in struck[moment_s]} <= {"far", "looks"}
    assert sorted(struck[81.0]) == ["esp-2", "far-1"]
    assert sorted(struck[83.0]) == ["esp-1", "esp-2"]
    drawn = [nodes for moment_s, nodes in struck.items() if 84 <= moment_s <= 85 and nodes != ["far-1"]]
    assert len(drawn) == 3
    assert all(nodes[0].startswith("slow") for nodes in drawn)
    first = min(moment_s for moment_s, nodes in struck.items() if "far-1" in nodes)
    assert "far-1" in struck[first + 4.5]


def test_versions_work_side_by_side(events: list[t.Event]) -> None:
    """Ours, somebody else's firmware, and a python node that retains its results."""
    for stream, name in ((6, "esp"), (7, "bare"), (8, "older")):
        given = {e.task: e.node for e in of(events, t.TaskSent, stream)}
        done = {e.task: e.node for e in of(events, t.ResultReceived, stream)}
        assert done == given
        assert {node.rpartition("-")[0] for node in given.values()} == {name}
