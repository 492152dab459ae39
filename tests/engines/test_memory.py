"""Small heaps: what boards use is measured, and one that has too little breaks down alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dcompute_sim
import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import CHECKS
from dcompute_sim.checks.check import Status
from dcompute_sim.checks.verdict import judge
from dcompute_sim.run import RunOutcome

from tests.checks.test_mutations import HEALTHY

Run = Callable[..., RunOutcome]


def scenario(limit: str) -> dict[str, Any]:
    return {
        "phases": {"start": "3s", "work": "3s"},
        "fleet": {
            "esp": {"kind": "firmware", "count": 2, "keepalive": "10s"},
            "py": {"count": 1, "keepalive": "10s"},
        },
        "workload": [{"phase": "work", "tasks": 10}],
        "expect": [{"memory_below": {"limit": limit, "group": "esp"}}],
    }


@pytest.mark.parametrize("time", ["virtual", "real"])
def test_the_heap_in_use_is_read_and_judged(run: Run, time: str) -> None:
    """The same readings hold under a generous limit and not under a tight one."""
    keys = scenario("100KiB")
    keys["expect"].append({"memory_below": {"limit": "20KiB"}})
    outcome = run(keys, time=time)
    statuses = [result.outcome.status for result in outcome.verdict.results if result.name == "memory_below"]
    assert statuses == [Status.HELD, Status.FAILED]
    readings = [event for event in outcome.trace if isinstance(event, t.NodeMemory)]
    assert {event.node for event in readings} == {"esp-1", "esp-2"}
    assert all(20_000 < event.allocated < 100_000 and event.free > 10_000 for event in readings)


def test_readings_are_no_part_of_the_digest(run: Run) -> None:
    """They differ by some bytes from run to run; all else is the same, asked or not."""
    asked, again = (run(scenario("100KiB")).trace for _ in range(2))
    assert any(isinstance(event, t.NodeMemory) for event in asked)
    assert asked.digest() == again.digest() == t.digest(e for e in asked if not isinstance(e, t.NodeMemory))


def test_what_is_expected_changes_nothing(run: Run, tmp_path: Path) -> None:
    """Nor does what is reported: the trace of a run without any of it can be judged for all of it later."""
    asked = run(scenario("100KiB"), pcap=tmp_path / "wire.pcapng")
    everything = [check.model_validate(HEALTHY[name]) for name, check in CHECKS.items()]
    keys = scenario("100KiB")
    silent = run({**keys, "expect": ["no_false_deaths"]})
    loud = run({**keys, "expect": everything})
    assert asked.trace.digest() == silent.trace.digest() == loud.trace.digest()
    (later,) = judge(asked.scenario.expect, silent.trace.events).results[:1]
    assert later.outcome.status is Status.HELD


def test_only_the_judge_looks_at_what_is_expected() -> None:
    """So no expectation can change a run, whichever is added: nothing that carries it out knows of them."""
    sim = Path(dcompute_sim.__file__).parent
    for folder in ("brokers", "director", "engines", "faults", "interfaces", "micropython", "net", "nodes"):
        for module in (sim / folder).rglob("*.py"):
            text = module.read_text()
            assert ".expect" not in text, module
            assert "dcompute_sim.checks" not in text, module


def test_a_board_without_memory_breaks_down_alone(run: Run) -> None:
    """From far too little to enough: whatever becomes of each board, the run goes on to its verdict."""
    heaps = range(24, 65, 5)
    board = {"kind": "firmware", "count": 1, "keepalive": "10s"}
    outcome = run(
        {
            "phases": {"start": "10s", "work": "8s", "quiet": "12s"},
            "fleet": {
                **{f"esp{heap}": {**board, "heap": f"{heap}KiB"} for heap in heaps},
                "well": {**board, "heap": "128KiB"},
            },
            "workload": [
                {"phase": "work", "rate": "8/s", "payload": "400B", "target": {"group": f"esp{heap}"}}
                for heap in heaps
            ]
            + [{"phase": "work", "tasks": 20, "target": {"group": "well"}}],
            "expect": [{"final_status": {"group": "well"}}],
        }
    )
    ended = [event for event in outcome.trace if isinstance(event, t.RunEnded)]
    assert [event.reason for event in ended] == ["finished"]
    assert outcome.verdict.results[0].outcome.status is Status.HELD
    said = [event for event in outcome.trace if isinstance(event, t.NodeOutput)]
    broken = {event.node for event in said if "MemoryError" in event.text}
    assert {"esp24-1", "esp29-1", "esp34-1"} <= broken
    assert "well-1" not in broken
