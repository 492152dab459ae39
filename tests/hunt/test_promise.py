"""Of several drafts of a run the one is done that promises most for its cost."""

from __future__ import annotations

from typing import Any

from dcompute_sim.hunt.features import END, MISHAP
from dcompute_sim.hunt.promise import Promise, of_fresh
from dcompute_sim.scenario import Scenario


def scenario(*faults: tuple[str, str, float], nodes: int = 3) -> Scenario:
    entries: list[dict[str, Any]] = [
        {"kind": kind, "at": f"{at_s}s", "select": {"names": [node]}} for kind, node, at_s in faults
    ]
    made = {"version": 1, "name": "one", "duration": "60s", "fleet": {"py": {"count": nodes}}}
    return Scenario.model_validate({**made, "workload": [{"tasks": 5}], "faults": entries})


def met(first: str, second: str, gap: str = "soon") -> tuple[str, ...]:
    return (MISHAP, f"{first} while idle", gap, f"{second} while busy")


def test_what_seldom_met_is_worth_more() -> None:
    promise = Promise()
    old = scenario(("reset", "py-1", 10), ("leave", "py-1", 11))
    new = scenario(("leave", "py-1", 10), ("reset", "py-1", 11))
    assert promise.of_bred(old) == promise.of_bred(new) > 0
    promise.take([met("reset", "leave"), met("leave", "reset", "later"), ("step", "a", "b")])
    assert promise.of_bred(old) < promise.of_bred(new)


def test_only_faults_that_come_together_count() -> None:
    promise = Promise()
    assert promise.of_bred(scenario(("reset", "py-1", 10), ("leave", "py-2", 11))) == 0
    assert promise.of_bred(scenario(("reset", "py-1", 10), ("leave", "py-1", 30))) == 0


def test_what_costs_less_is_worth_more() -> None:
    promise, row = Promise(), (("reset", "py-1", 10.0), ("leave", "py-1", 11.0))
    assert promise.of_bred(scenario(*row, nodes=2)) > promise.of_bred(scenario(*row, nodes=9))
    assert of_fresh(scenario(*row, nodes=2)) > of_fresh(scenario(*row, nodes=9))


def test_a_row_of_ends_that_seldom_came_is_worth_more() -> None:
    """Of one kind of fault there is one pair, whatever each finds; what a row meets tells them apart."""

    def row(*events: str) -> Scenario:
        waiting = {"kind": "reset", "select": {"names": ["py-1"]}}
        whens = [{"event": event, "node": "py-1", "count": at} for at, event in enumerate(events, 2)]
        made = scenario(("reset", "py-1", 10)).model_dump(exclude_unset=True)
        faults = [*made["faults"], *({**waiting, "when": when} for when in whens)]
        return Scenario.model_validate({**made, "faults": faults})

    promise = Promise()
    usual = row("node_connected", "node_connected", "node_connected")
    seldom = row("node_connected", "node_subscribing", "node_connected")
    assert promise.of_bred(seldom) == promise.of_bred(usual) > 0
    promise.take([(END, *["connected lost"] * length) for length in (2, 3, 4)])
    assert promise.of_bred(seldom) > promise.of_bred(usual)
