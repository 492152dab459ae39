"""What is remarkable in a run: which events followed which, in what circumstances."""

from __future__ import annotations

import random

from dcompute_sim import trace as t
from dcompute_sim.hunt.features import END, MISHAP, PATH, STEP, Feature, features, never_soon, rows_met
from dcompute_sim.hunt.moments import Moment, moments


def life(node: str, at_us: int) -> list[t.Event]:
    return [
        t.NodeStarted(t_us=at_us, node=node, boot=1),
        t.NodeConnecting(t_us=at_us, node=node, inc=f"{node}.1"),
        t.NodeConnected(t_us=at_us + 1000, node=node, inc=f"{node}.1"),
    ]


def fault(at_s: float, name: str, kind: str, node: str = "") -> t.FaultInjected:
    return t.FaultInjected(t_us=round(at_s * 1e6), fault=name, kind=kind, node=node)


MASTER = [t.MasterStarted(t_us=0, boot=1), t.MasterConnected(t_us=0)]
RUN = [
    *MASTER,
    *life("a-1", 10),
    fault(5.0, "hang-1", "hang", "a-1"),
    t.TaskTaken(t_us=5_100_000, node="a-1", task="t1", priority=1),
    t.TaskFinished(t_us=5_200_000, node="a-1", task="t1"),
    fault(8.0, "crash-2", "crash", "a-1"),
    t.NodeStopped(t_us=8_000_001, node="a-1", how="crash"),
]


def of(level: str, found: frozenset[Feature]) -> set[Feature]:
    return {words for name, *rest in found if name == level for words in [tuple(rest)]}


def test_steps_and_paths_and_mishaps() -> None:
    found = features(RUN)
    assert ("NodeConnecting", "NodeConnected") in of(STEP, found)
    assert ("TaskFinished True", "NodeStopped crash") in of(STEP, found), "faults are no events of a step"
    assert ("TaskFinished True (hang)", "crash (hang)", "NodeStopped crash (crash, hang)") in of(PATH, found)
    assert ("TaskTaken (hang)", "TaskFinished True (hang)") in of(PATH, found)
    assert ("hang", "TaskTaken (hang)", "TaskFinished True (hang)") in of(PATH, found)
    assert of(MISHAP, found) == {("hang while idle", "soon", "crash while idle")}
    assert of(END, found) == set(), "one connection that ended is no row"


def test_how_connections_in_a_row_ended() -> None:
    ends = [
        t.NodeDisconnected(t_us=1, node="a-1", inc="a-1.1", reason="reset"),
        t.NodeConnecting(t_us=2, node="a-1", inc="a-1.2"),
        t.NodeConnectFailed(t_us=3, node="a-1", inc="a-1.2", reason="refused"),
        t.NodeConnecting(t_us=4, node="a-1", inc="a-1.3"),
        t.NodeSubscribing(t_us=5, node="a-1", inc="a-1.3"),
        t.NodeStopped(t_us=6, node="a-1", how="crash"),
    ]
    found = features([*life("a-1", 0), *ends])
    first, second, third = "connected lost", "connecting failed", "subscribing stopped"
    assert of(END, found) == {(first, second), (second, third), (first, second, third)}
    assert set(rows_met(found)) == {
        ("connected", "connecting"),
        ("connecting", "subscribing"),
        ("connected", "connecting", "subscribing"),
    }
    longer = features([*life("a-1", 0), *ends, *life("a-1", 10), *ends, *life("a-1", 20), *ends])
    rows = set(rows_met(longer))
    assert ("connecting", "subscribing", "connected", "connecting") in rows, "of four as well"
    assert max(map(len, rows)) == 4, "and no longer ones, of which there are too many"


def test_each_tells_its_own_story() -> None:
    """Which of node, broker and master was the quicker is chance, and nothing new."""
    seen = t.NodeStatusSeen(t_us=3, node="a-1", status="busy", inc="a-1.1")
    taken = t.TaskTaken(t_us=3, node="a-1", task="t1", priority=1)
    done = t.TaskFinished(t_us=4, node="a-1", task="t1")
    assert features([*life("a-1", 0), seen, taken, done]) == features([*life("a-1", 0), taken, seen, done])


def test_names_numbers_and_times_make_no_difference() -> None:
    other = [
        *MASTER,
        *life("b-7", 2_000_000),
        fault(25.0, "hang-9", "hang", "b-7"),
        t.TaskTaken(t_us=25_300_000, node="b-7", task="t77", priority=9),
        t.TaskFinished(t_us=25_400_000, node="b-7", task="t77"),
        fault(28.0, "crash-4", "crash", "b-7"),
        t.NodeStopped(t_us=28_000_001, node="b-7", how="crash"),
    ]
    assert features(other) == features(RUN)
    later = [*RUN[:-2], fault(15.0, "crash-2", "crash", "a-1"), RUN[-1]]
    assert features(later) != features(RUN)  # but how long after the other fault it was does


def test_what_befalls_the_broker_befalls_all_nodes() -> None:
    stop = t.BrokerStopped(t_us=6_000_000, kept_memory=False)
    found = features([*MASTER, *life("a-1", 0), fault(5.9, "broker_restart-1", "broker_restart"), stop])
    assert ("NodeConnected", "broker_restart", "broker stops and forgets") in of(PATH, found)
    assert ("broker_restart", "broker stops and forgets") not in of(STEP, found)
    away = features([*MASTER, *life("a-1", 0), stop, t.NodeStopped(t_us=7_000_000, node="a-1", how="crash")])
    assert ("broker stops and forgets", "NodeStopped crash (no broker, no master)") in of(PATH, away)


def test_a_fault_that_struck_nobody_is_none() -> None:
    nobody = t.FaultInjected(t_us=9_000_000, fault="crash-3", kind="crash", not_done="nobody")
    assert features([*RUN[:6], nobody]) == features(RUN[:6])


def test_what_never_came_soon_after_another() -> None:
    assert ("hang", "crash") not in never_soon(features(RUN), ["hang", "crash"])
    assert ("crash", "hang") in never_soon(features(RUN), ["hang", "crash"])


def test_moments_are_told_as_a_scenario_can_name_them() -> None:
    many = [t.TaskTaken(t_us=i * 1000, node="a-1", task=str(i), priority=1) for i in range(1, 50)]
    found = moments([*RUN[:5], *many], random.Random(1), until_s=0.04)
    assert Moment("node_connecting", "a-1", 1, 1e-5) in found
    taken = [moment for moment in found if moment.event == "task_taken"]
    assert 0 < len(taken) <= 3
    assert all(moment.t_s == moment.count / 1000 < 0.04 for moment in taken)
