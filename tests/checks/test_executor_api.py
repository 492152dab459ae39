"""executor_api: the callback for deaths, with its excuses."""

from __future__ import annotations

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import CHECKS, Status

from .conftest import TraceBuilder


def gone(story: TraceBuilder, status: str = "dead") -> TraceBuilder:
    return story.add(t.SaidGone, who="n", node="n", status=status, inc=story.incs["n"])


def named(story: TraceBuilder, asker: str = "x") -> TraceBuilder:
    return story.add(t.ExecutorDeaths, asker=asker, nodes=["n"])


def status(story: TraceBuilder) -> Status:
    return CHECKS["executor_api"].model_validate({"within": "2s"}).judge(story.at(100).end()).status


@pytest.fixture
def fleet(story: TraceBuilder) -> TraceBuilder:
    """A node and an executor that have known each other for a while."""
    return story.define("n").boot("n").at(1).executor().at(20)


@pytest.mark.parametrize("how", ["dead", "offline"])
def test_a_death_is_named_in_time(fleet: TraceBuilder, how: str) -> None:
    named(gone(fleet, how).after(1.9))
    assert status(fleet) is Status.HELD


@pytest.mark.parametrize("after_s", [2.1, None])
def test_one_that_is_named_late_or_never_is_missed(fleet: TraceBuilder, after_s: float | None) -> None:
    gone(fleet)
    if after_s is not None:
        named(fleet.after(after_s))
    assert status(fleet) is Status.FAILED


def test_each_executor_is_owed_it(fleet: TraceBuilder) -> None:
    fleet.executor("y").at(30)
    named(gone(fleet).after(0.1))
    assert status(fleet) is Status.FAILED


@pytest.mark.parametrize("back", [False, True])
def test_named_twice_is_wrong_unless_it_was_back(fleet: TraceBuilder, back: bool) -> None:
    named(gone(fleet).after(0.1)).after(5)
    if back:
        fleet.connect("n").add(t.SaidBack, who="n", node="n").after(5)
        gone(fleet)
    named(fleet.after(0.1))
    assert status(fleet) is (Status.HELD if back else Status.FAILED)


@pytest.mark.parametrize("back", [False, True])
def test_in_real_time_a_status_alone_says_that_it_was_back(fleet: TraceBuilder, back: bool) -> None:
    """Nobody listens at the broker there: who is gone, and back, only the master has heard."""
    for seen in ("ready", "dead", "ready" if back else "dead"):
        fleet.add(t.NodeStatusSeen, node="n", status=seen, inc=fleet.incs["n"]).after(1)
        if seen == "dead":
            named(fleet)
    if back:
        named(fleet)
    assert status(fleet) is (Status.HELD if back else Status.FAILED)


def test_two_connections_that_are_gone_are_two_deaths(fleet: TraceBuilder) -> None:
    """Seed 218 of the swarm: a clone had announced itself, and came no further."""
    named(gone(fleet).after(0.1)).after(0.1)
    named(fleet.add(t.SaidGone, who="n~clone-1", node="n", status="dead", inc="7.1").after(0.1))
    assert status(fleet) is Status.HELD


def test_who_could_not_hear_owes_nothing(fleet: TraceBuilder) -> None:
    gone(fleet).after(0.1).add(t.ExecutorDisconnected, asker="x", reason="x")
    assert status(fleet) is Status.INCONCLUSIVE


def test_nor_who_has_only_just_connected(fleet: TraceBuilder) -> None:
    fleet.add(t.ExecutorDisconnected, asker="x", reason="x").after(1).add(t.ExecutorConnected, asker="x")
    gone(fleet.after(1))
    assert status(fleet) is Status.INCONCLUSIVE


def test_nor_of_a_node_that_is_back_by_then(fleet: TraceBuilder) -> None:
    gone(fleet).after(1).connect("n")
    assert status(fleet) is Status.INCONCLUSIVE


def test_nor_of_one_that_said_nothing_over_the_connection_that_ended(fleet: TraceBuilder) -> None:
    """Seed 197 of the swarm: its link fell silent before its first word had arrived."""
    named(gone(fleet).after(1)).after(1).add(t.NodeConnecting, node="n", inc="1.2")
    fleet.add(t.NodeConnected, node="n", inc="1.2")
    fleet.add(t.StatusPublished, node="n", status="ready", inc="1.2").after(15)
    gone(fleet)
    assert status(fleet) is Status.HELD


def test_the_word_of_somebody_else_is_no_death(fleet: TraceBuilder) -> None:
    fleet.add(t.SaidGone, who="stale_will-1-probe", node="n", status="dead", inc="0.1")
    assert status(fleet) is Status.INCONCLUSIVE
