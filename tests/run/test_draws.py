"""What is drawn for an entry hangs on nothing but the seed and its id: one entry more moves nothing else.

Over a whole run and every kind of draw: moments, victims, arrivals, priorities, targets; what a clone, a
probe client and a network draw while they are there. The entry that is added concerns a node of its own.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from dcompute_sim import trace as t
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario

GROUP = {"keepalive": "10s", "work": {"exponential": {"mean": "200ms"}}, "network": {"latency": "20ms"}}
BASE: dict[str, Any] = {
    "version": 1,
    "name": "draws",
    "duration": "40s",
    "fleet": {
        "py": {**GROUP, "count": 4, "network": {"latency": "20ms", "jitter": "10ms", "loss": "1%"}},
        "apart": {**GROUP, "count": 1},
    },
    "workload": [
        {"at": "2s", "until": "30s", "rate": "1/s", "arrivals": "poisson", "priority": "1..10"}
        | {"target": {"group": "py"}, "via": "transport"},
    ],
    "faults": [
        {"kind": "wifi_drop", "between": ["4s", "9s"], "for": "2s", "select": {"group": "py", "count": 2}},
        {"kind": "clone", "between": ["10s", "20s"], "times": 2, "for": "3s", "select": {"group": "py"}},
        {"kind": "malformed", "at": "22s", "what": "task cut short", "select": {"group": "py"}},
        {
            "kind": "crash",
            "when": {"event": "task_taken", "group": "py", "count": 9},
            "select": {"same": True},
        }
        | {"restart_after": "2s"},
    ],
}
APART = {"select": {"names": ["apart-1"]}}
ONE_MORE = {
    "clone": ("faults", {"kind": "clone", "at": "1s", "for": "2s", **APART}),
    "crash": ("faults", {"kind": "crash", "at": "3s", "restart_after": "2s", **APART}),
    "probe": ("faults", {"kind": "inject", "at": "1s", "topic": "nowhere", "payload": {"a": 1}, **APART}),
    "stream": ("workload", {"at": "1s", "tasks": 3, "via": "transport", "target": {"node": "apart-1"}}),
}


def seen(entries: dict[str, Any]) -> list[tuple[object, ...]]:
    """What happened to the group, to its clones, to its tasks, and when; faults and connections in order."""
    events = run_scenario(Scenario.model_validate(entries), RunOptions(seed=5)).trace.events
    numbers: dict[object, int] = {}
    found = []
    for event in events:
        told = msgspec.to_builtins(event)
        if not str(told.get("node", "")).startswith("py-"):
            continue
        for key in ("fault", "of", "conn"):
            if told.get(key):
                told[key] = numbers.setdefault(told[key], len(numbers))
        found.append((type(event).__name__, *told.values()))
    kinds = {type(event) for event in events}
    assert {t.FaultInjected, t.TaskTaken, t.NodeConnected} <= kinds
    return found


@pytest.fixture(scope="module")
def before() -> list[tuple[object, ...]]:
    found = seen(BASE)
    assert sum("~clone" in str(event) for event in found) > 10, "clones must show what they draw"
    return found


@pytest.mark.parametrize("what", ONE_MORE)
def test_one_entry_more_moves_nothing_else(what: str, before: list[tuple[object, ...]]) -> None:
    section, entry = ONE_MORE[what]
    assert seen(BASE | {section: [entry, *BASE[section]]}) == before
