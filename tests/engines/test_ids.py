"""Nodes whose id on the wire is not their name in the scenario."""

from __future__ import annotations

from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import Status

from .conftest import Run

KITCHEN: dict[str, Any] = {"kind": "firmware", "count": 1, "id": "kitchen", "keepalive": "5s"}
CLONE = {"kind": "clone", "at": "6s", "select": {"names": ["a-1"]}, "for": "9s"}
CRASH = {"kind": "crash", "at": "20s", "select": {"names": ["a-1"]}, "restart_after": "2s"}


def test_a_board_with_an_id_of_its_own_keeps_the_protocol(run: Run) -> None:
    """It was judged by its name: its client id, will and topics were called wrong."""
    outcome = run(
        {
            "duration": "30s",
            "fleet": {"a": KITCHEN},
            "workload": [{"at": "3s", "tasks": 2}],
            "faults": [CLONE, CRASH],
            "expect": ["wire_protocol", "all_tasks_finished"],
        }
    )
    assert outcome.verdict.status is Status.HELD
    told = [event for event in outcome.trace if isinstance(event, t.SaidGone | t.SaidBack)]
    assert {event.node for event in told} == {"a-1"}


@pytest.mark.parametrize(("other", "told"), [("kitchen", True), ("cellar", False)])
def test_boards_with_one_node_id_are_told_from_each_other(run: Run, other: str, told: bool) -> None:
    """They were said to die of an old retained message, and of packets that the broker refuses."""
    fleet = {"a": KITCHEN, "b": KITCHEN | {"id": other}}
    outcome = run({"duration": "20s", "fleet": fleet, "expect": ["no_false_deaths"]})
    said = {result.label: result.outcome.summary for result in outcome.verdict.results}
    why = "b-1: shares its node id, `kitchen`, with a-1: the broker throws each out for the other"
    assert (why in said["no_false_deaths"]) is told
    assert ("a-1, b-1 use one client id, `kitchen`" in said["boards_took_part"]) is told
    assert "old retained message" not in said["no_false_deaths"]
