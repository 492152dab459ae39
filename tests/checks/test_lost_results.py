"""no_lost_results: what excuses a result that never came, what does not, and what nobody can decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import CHECKS, CheckOutcome, Status

from .conftest import TraceBuilder

UNDECIDED = "undecided when the run ended"
DOWN = "went down with their node"
DROPPED = "dropped by nodes that held too many"
PARTED = "with the broker or the master when they parted"
AWAY = "while the master was away"

Story = Callable[[TraceBuilder], object]
"""Goes on with a story, up to its end."""


def judge(events: Sequence[t.Event], **parameters: Any) -> CheckOutcome:
    return CHECKS["no_lost_results"].model_validate(parameters).judge(events)


@pytest.fixture
def finished(story: TraceBuilder) -> TraceBuilder:
    """`n` has finished `a`, at 5 s; the result of another task has arrived before."""
    story.define("n").boot("n").send("n", "before").work("n", "before").send("n", "a").at(5)
    return take_and_finish(story)


@pytest.fixture
def offline(story: TraceBuilder) -> TraceBuilder:
    """The same, but its connection had been reset by then."""
    story.define("n").boot("n").send("n", "before").work("n", "before").send("n", "a")
    return take_and_finish(story.at(5).disconnect("n", how="rst"))


def take_and_finish(story: TraceBuilder, node: str = "n", task: str = "a") -> TraceBuilder:
    return story.take(node, task).add(t.TaskFinished, node=node, task=task)


def arrive(story: TraceBuilder, task: str = "a", kind: type[t.Event] = t.ResultReceived) -> TraceBuilder:
    reason = {"reason": "not given to it"} if kind is t.ResultRefused else {}
    return story.add(kind, node="n", task=task, **reason)


def master_away(
    story: TraceBuilder, how: type[t.Event] = t.MasterDisconnected, back_s: float = 2.0
) -> TraceBuilder:
    fields = {t.MasterDisconnected: {"reason": "fin"}, t.MasterStopped: {"how": "crash"}}
    story.add(how, **fields.get(how, {"kept_memory": False}))
    return story.after(back_s).add(t.MasterConnected)


def test_a_result_that_waits_for_a_connection_has_to_come(offline: TraceBuilder) -> None:
    events = offline.at(9).connect("n").at(60).end()
    outcome = judge(events)
    assert outcome.status is Status.FAILED
    (event,) = outcome.offending
    assert isinstance(event, t.TaskFinished)
    assert (event.t_s, event.task) == (5.0, "a")
    assert outcome.figures == {"arrived": 1, "lost": 1}
    assert judge(events, within="1min").status is Status.HELD  # nobody can know yet


def test_a_late_result_is_not_lost(finished: TraceBuilder) -> None:
    assert judge(arrive(finished.at(50)).at(60).end()).figures == {"arrived": 2, "lost": 0}


@pytest.mark.parametrize(
    ("came", "status"),
    [
        ((t.ResultReceived,), Status.FAILED),
        ((t.ResultReceived, t.ResultDuplicate), Status.HELD),
        ((t.ResultReceived, t.ResultRefused), Status.HELD),
    ],
    ids=["once", "twice", "refused"],
)
def test_done_twice_it_has_to_come_twice(
    offline: TraceBuilder, came: tuple[type[t.Event], ...], status: Status
) -> None:
    """The sender lost patience and sent the task again: that must not hide that the first result was lost."""
    take_and_finish(offline.at(9).connect("n").at(10))
    for kind in came:
        arrive(offline, kind=kind)
    assert judge(offline.at(60).end()).status is status


def test_what_comes_after_an_excused_result_is_the_next(finished: TraceBuilder) -> None:
    take_and_finish(finished.crash("n").at(9).boot("n", boot=2))
    assert judge(arrive(finished).at(80).end()).figures == {"arrived": 2, "lost": 0, DOWN: 1}


EXCUSES: dict[str, tuple[str, Story]] = {
    "its node crashed": (DOWN, lambda story: story.at(6).crash("n").at(9).boot("n", boot=2)),
    "its node started anew, which nobody saw end": (DOWN, lambda story: story.at(9).boot("n", boot=2)),
    "its node dropped it": (DROPPED, lambda story: story.add(t.ResultDropped, node="n", task="a")),
    "the broker stopped": (PARTED, lambda story: master_away(story, t.BrokerStopped)),
    "the master crashed": (PARTED, lambda story: master_away(story, t.MasterStopped)),
    "the master lost its connection": (PARTED, lambda story: master_away(story)),
    "its node parted just before": (
        PARTED,
        lambda story: master_away(story.at(6).disconnect("n").after(0.5)).connect("n"),
    ),
}


@pytest.mark.parametrize(("why", "what"), EXCUSES.values(), ids=EXCUSES)
def test_excused(finished: TraceBuilder, why: str, what: Story) -> None:
    what(finished)
    outcome = judge(finished.at(80).end())
    assert outcome.status is Status.HELD, outcome.summary
    assert outcome.figures == {"arrived": 1, "lost": 0, why: 1}


def test_a_result_handed_to_a_broker_without_a_master_is_excused(offline: TraceBuilder) -> None:
    offline.add(t.MasterStopped, how="crash").at(9).connect("n")
    outcome = judge(offline.at(10).add(t.MasterConnected).at(80).end())
    assert (outcome.status, outcome.figures[AWAY]) == (Status.HELD, 1)


NO_EXCUSES: dict[str, Story] = {
    "a hang is over again": lambda story: story.add(t.NodeStopped, node="n", how="hang"),
    "a reset": lambda story: story.at(6).disconnect("n", how="rst").at(8).connect("n"),
    "the master away while its node was": lambda story: (
        master_away(story.at(6).disconnect("n").at(8)).at(12).connect("n")
    ),
    "an older connection ends": lambda story: (
        story.at(6).connect("n").add(t.NodeDisconnected, node="n", inc="1.1", reason="fin")
    ),
    "overdue, then its node crashed": lambda story: story.at(40).crash("n"),
    "overdue, then the master crashed": lambda story: master_away(story.at(40), t.MasterStopped),
    "overdue, then its node was reset": lambda story: story.at(40).disconnect("n").connect("n"),
}


@pytest.mark.parametrize("what", NO_EXCUSES.values(), ids=NO_EXCUSES)
def test_no_excuse(finished: TraceBuilder, what: Story) -> None:
    what(finished)
    outcome = judge(finished.at(80).end())
    assert outcome.status is Status.FAILED, outcome.summary


def test_the_master_away_is_no_excuse_while_nothing_crosses(story: TraceBuilder) -> None:
    """The node believes that it is connected, but cannot have handed its result to anyone."""
    story.define("n").boot("n").send("n", "a").at(5)
    drop = story.silent("wifi_drop", "n", report_s=None, for_s=10)
    master_away(take_and_finish(story)).at(15).heal(drop, "n")
    assert judge(story.at(80).end()).status is Status.FAILED


UNDISTURBED_FOR_SHORT: dict[str, Story] = {
    "never back": lambda story: story.at(80),
    "back too late": lambda story: story.at(60).connect("n").at(80),
    "back again and again": lambda story: [
        story.at(second).connect("n").after(20).disconnect("n") for second in (10, 35)
    ],
    "silent": lambda story: story.connect("n").silent("dead_link", "n", report_s=None),
    "slow": lambda story: story.connect("n").fault("slow_link", "n"),
    "connecting": lambda story: story.connect("n").at(9).add(t.NodeConnecting, node="n", inc="1.3"),
    "stalled": lambda story: story.connect("n").add(t.WireStalled, node="n", conn=story.conns),
    "the master comes too late": lambda story: master_away(story, back_s=60).connect("n"),
}


@pytest.mark.parametrize("what", UNDISTURBED_FOR_SHORT.values(), ids=UNDISTURBED_FOR_SHORT)
def test_undecided(offline: TraceBuilder, what: Story) -> None:
    what(offline)
    outcome = judge(offline.at(80).end())
    assert (outcome.status, outcome.figures[UNDECIDED]) == (Status.HELD, 1), outcome.summary


def test_what_is_over_no_longer_counts(offline: TraceBuilder) -> None:
    """Silence, slowness and a stalled connection, each undone in time for the result to come."""
    offline.connect("n")
    faults = [offline.fault(kind, "n") for kind in ("dead_link", "slow_link")]
    offline.add(t.WireStalled, node="n", conn=offline.conns)
    for fault in faults:
        offline.heal(fault, "n")
    events = offline.at(20).add(t.WireResumed, node="n", conn=offline.conns).at(80).end()
    assert judge(events).status is Status.FAILED


def test_a_stalled_connection_says_nothing_of_the_next(offline: TraceBuilder) -> None:
    offline.connect("n").add(t.WireStalled, node="n", conn=offline.conns)
    assert judge(offline.at(10).connect("n").at(80).end()).status is Status.FAILED


def test_nothing_decided_is_inconclusive(story: TraceBuilder) -> None:
    story.define("n").boot("n").send("n", "a").at(50)
    assert judge(take_and_finish(story).at(79).end()).status is Status.INCONCLUSIVE


def test_an_interrupted_run_is_inconclusive(finished: TraceBuilder) -> None:
    assert judge(finished.at(80).end("interrupted")).status is Status.INCONCLUSIVE


def test_a_result_seen_on_the_wire_twice_is_one(story: TraceBuilder) -> None:
    """Nothing shows that the task was taken: the same result, sent again on the next connection."""
    story.define("n").boot("n").send("n", "a").add(t.TaskFinished, node="n", task="a")
    story.disconnect("n").connect("n").add(t.TaskFinished, node="n", task="a")
    assert judge(arrive(story).at(80).end()).status is Status.HELD


def test_a_clone_owes_nothing(finished: TraceBuilder) -> None:
    clone = arrive(finished).clone_of("n")
    finished.add(t.TaskTaken, node=clone, task="a", priority=5)
    finished.add(t.TaskFinished, node=clone, task="a")
    assert judge(finished.at(80).end()).figures == {"arrived": 2, "lost": 0}
