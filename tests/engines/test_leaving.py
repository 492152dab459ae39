"""Nodes that leave in good order: whatever they were at, everybody knows, and nothing finished is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks.check import Status
from dcompute_sim.run import RunOutcome
from dcompute_sim.scenario import Scenario, ScenarioError, check

from ..conftest import unhurried

Run = Callable[..., RunOutcome]

EXPECT = ["clean_leave", "no_false_deaths", "all_tasks_finished", "no_lost_results", "final_status"]
AT_WORK = {"event": "task_taken", "count": 5, "after": "50ms"}
UNSENT = {"event": "result_held", "count": 5}


def scenario(fault: dict[str, Any], kind: str = "python", **group: Any) -> dict[str, Any]:
    return {
        "phases": {"start": "6s", "storm": "30s", "quiet": "40s"},
        "network": {"latency": "20ms"},
        "fleet": {"n": {"count": 3, "keepalive": "6s", "kind": kind, "work": "200ms", **group}},
        "workload": [{"phase": "storm", "rate": "6/s"}],
        "faults": [fault],
        "expect": EXPECT,
    }


def leaving(outcome: RunOutcome) -> tuple[t.FaultInjected, t.NodeStopped]:
    (injected,) = (event for event in outcome.trace if isinstance(event, t.FaultInjected))
    stopped = next(e for e in outcome.trace if isinstance(e, t.NodeStopped) and e.node == injected.node)
    assert stopped.how == "exit"
    return injected, stopped


@pytest.mark.parametrize("kind", ["python", "firmware"])
@pytest.mark.parametrize(
    "when",
    [{"at": "5.5s"}, {"when": AT_WORK, "select": {"same": True}}, {"when": UNSENT, "select": {"same": True}}],
    ids=["idle", "at work", "with its result unsent"],
)
@pytest.mark.parametrize("restart_after", ["5s", None])
def test_who_leaves_is_known_to_have_left(
    run: Run, kind: str, when: dict[str, Any], restart_after: str | None
) -> None:
    back = {"restart_after": restart_after} if restart_after else {}
    outcome = run(scenario({"kind": "leave", **when, **back}, kind))
    assert outcome.verdict.status is Status.HELD, [r.outcome for r in outcome.verdict.results]
    injected, _ = leaving(outcome)
    deaths = [e for e in outcome.trace if isinstance(e, t.DeathReported) and e.node == injected.node]
    assert [event.cause for event in deaths] == ["offline"]


@pytest.mark.parametrize("kind", ["python", "firmware"])
def test_a_node_can_leave_while_it_connects(run: Run, kind: str) -> None:
    """It has no connection to say anything on; it ends all the same, and is well when it is back."""
    connecting = {"event": "node_connecting", "count": 2, "after": "10ms"}
    fault = {"kind": "leave", "when": connecting, "select": {"same": True}, "restart_after": "4s"}
    keys = scenario(fault, kind)
    keys["expect"] = [
        "no_false_deaths",
        "all_tasks_finished",
        "no_lost_results",
        {"final_status": {"status": "ready"}},
    ]
    outcome = run(keys)
    assert outcome.verdict.status is Status.HELD, [r.outcome for r in outcome.verdict.results]
    leaving(outcome)


def test_what_the_broker_does_not_acknowledge_is_told_by_the_will(run: Run) -> None:
    """A node cannot say good-bye over a dead link; it ends all the same, and is found dead."""
    dead = {"kind": "dead_link", "at": "10s", "for": "20s", "select": {"names": ["n-1"]}}
    keys = scenario(dead)
    keys["faults"].append({"kind": "leave", "at": "11s", "select": {"names": ["n-1"]}})
    keys["expect"] = ["no_false_deaths", "all_tasks_finished", "final_status", "clean_leave"]
    outcome = run(keys)
    (left,) = (r.outcome for r in outcome.verdict.results if r.name == "clean_leave")
    assert left.status is Status.INCONCLUSIVE
    assert "struck by something else" in left.summary
    deaths = [e.cause for e in outcome.trace if isinstance(e, t.DeathReported) and e.node == "n-1"]
    assert deaths == ["will"]


@pytest.mark.parametrize("kind", ["python", "firmware"])
def test_a_restarted_program_is_back_at_once(run: Run, kind: str) -> None:
    outcome = run(scenario({"kind": "restart", "at": "12s"}, kind))
    assert outcome.verdict.status is Status.HELD, [r.outcome for r in outcome.verdict.results]
    injected, stopped = leaving(outcome)
    again = [e for e in outcome.trace if isinstance(e, t.NodeStarted) and e.node == injected.node][1]
    assert again.t_us == stopped.t_us + 500_000


@pytest.mark.parametrize("kind", ["python", "firmware"])
def test_an_offline_that_comes_late_is_put_right(run: Run, kind: str) -> None:
    keys = scenario({"kind": "stale_offline", "at": "12s"}, kind)
    keys["expect"] = [*EXPECT, "retained_consistent", {"final_status": {"status": "ready"}}]
    outcome = run(keys)
    assert outcome.verdict.status is Status.HELD, [r.outcome for r in outcome.verdict.results]
    injected, _ = leaving(outcome)
    assert any(isinstance(e, t.StatusRepaired) and e.node == injected.node for e in outcome.trace)


@pytest.mark.parametrize(
    ("mutant", "kind"),
    [
        ("leaves-by-crash", "python"),
        ("leaves-by-crash", "firmware"),
        ("leaves-in-silence", "python"),
        ("leaves-in-silence", "firmware"),
        ("unretained-offline", "python"),
    ],
)
def test_who_leaves_in_bad_order_is_caught(run: Run, mutant: str, kind: str) -> None:
    outcome = run(scenario({"kind": "leave", "at": "12s"}, kind), mutants=(mutant,))
    (left,) = (r.outcome for r in outcome.verdict.results if r.name == "clean_leave")
    assert left.status is Status.FAILED, left.summary


def test_in_real_time(run: Run) -> None:
    keys = scenario({"kind": "restart", "at": "2s", "restart_after": "1s"})
    keys["phases"] = {"start": "1s", "storm": "3s", "quiet": "3s"}
    keys["expect"] = ["clean_leave", "all_tasks_finished", {"final_status": {"status": "ready"}}]
    outcomes: list[RunOutcome] = []

    def play(scenario: str) -> None:
        outcomes.append(outcome := run(json.loads(scenario), time="real"))
        assert outcome.verdict.status is Status.HELD, [r.outcome for r in outcome.verdict.results]
        leaving(outcome)

    unhurried(json.dumps(keys), play, lambda: outcomes[-1].trace)


def test_a_program_of_somebody_else_cannot_be_asked(tmp_path: object) -> None:
    keys = scenario({"kind": "leave", "at": "12s"}, "firmware", files=str(tmp_path))
    with pytest.raises(ScenarioError, match="`leave` cannot be done to `n`"):
        check(Scenario.model_validate({"version": 1, "name": "theirs", **keys}))
    keys["fleet"]["ours"] = {"kind": "firmware"}
    keys["faults"][0]["select"] = {"group": "ours"}
    check(Scenario.model_validate({"version": 1, "name": "ours", **keys}))
