"""Traces of whole fleets, written by a small model of a run, and judged runs made of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import CHECKS, Check
from dcompute_sim.report.run_report import RunReport, judged

KEEPALIVE_S = 10.0

NewFleet = Callable[..., list[t.Event]]
"""Makes the events of a fleet; see the fixture `fleet`."""


class Fleet:
    """Events of `nodes` nodes over a minute: boots, tasks by priority, faults, deaths, recoveries."""

    def __init__(self, nodes: int, seed: int, faults: int, tasks_per_node: int) -> None:
        self.random = random.Random(seed)
        self.names = [f"{'esp' if i % 3 else 'pi'}-{i:04}" for i in range(1, nodes + 1)]
        self.pending: list[tuple[float, int, type[t.Event], dict[str, Any]]] = []
        self.seed = seed
        for number, name in enumerate(self.names):
            self.boot(name, 0.1 + number * 2.0 / nodes)
        picked = self.random.sample(self.names, min(faults, nodes))
        crashed, dropped = picked[: len(picked) // 2], picked[len(picked) // 2 :]
        for name in self.names:
            if name not in crashed:
                self.work(name, tasks_per_node, 3.0, 18.0)
        for name in crashed:
            self.crash(name, 20 + self.random.random() * 5)
        for name in dropped:
            self.drop(name, 20 + self.random.random() * 5)
        for name in self.names:
            self.finish(name, name in crashed, name in dropped)

    def add(self, at_s: float, kind: type[t.Event], /, **fields: Any) -> None:
        self.pending.append((at_s, len(self.pending), kind, fields))

    def boot(self, node: str, at_s: float, inc: str = "1.1") -> None:
        if inc == "1.1":
            self.add(
                0,
                t.NodeDefined,
                node=node,
                group=node[:3].rstrip("-"),
                kind="python",
                keepalive_s=KEEPALIVE_S,
            )
            self.add(at_s, t.NodeStarted, node=node, boot=1)
        self.add(at_s, t.NodeConnecting, node=node, inc=inc)
        self.add(at_s + 0.004, t.NodeConnected, node=node, inc=inc)
        self.add(at_s + 0.005, t.StatusPublished, node=node, status="ready", inc=inc)
        self.add(at_s + 0.006, t.NodeStatusSeen, node=node, status="ready", inc=inc)

    def work(self, node: str, count: int, since_s: float, until_s: float) -> None:
        """A batch arrives at once, so that the node has a choice; then one task after the other."""
        tasks = [(f"{node}/{number}", self.random.randint(1, 10)) for number in range(count)]
        start_s = since_s + self.random.random()
        for number, (task, priority) in enumerate(tasks):
            at_s = start_s + number * 1e-4
            self.add(at_s, t.TaskSent, node=node, task=task, priority=priority, size=200)
            self.add(at_s + 0.002, t.TaskReceived, node=node, task=task, priority=priority)
        at_s = start_s + 0.1
        for task, priority in sorted(tasks, key=lambda item: -item[1]):
            done_s = at_s + self.random.expovariate(1.0) * (until_s - since_s) / (4 * count)
            self.add(at_s, t.TaskTaken, node=node, task=task, priority=priority)
            self.add(done_s, t.TaskFinished, node=node, task=task)
            self.add(done_s, t.ResultHeld, node=node, task=task, digest="d")
            self.add(done_s + 0.003, t.ResultReceived, node=node, task=task, digest="d")
            at_s = done_s + 0.001

    def crash(self, node: str, at_s: float) -> None:
        self.add(at_s, t.FaultInjected, fault=f"crash-{node}", kind="crash", node=node)
        self.add(at_s, t.FaultEffect, fault=f"crash-{node}", node=node, effect="fin")
        self.add(at_s, t.NodeStopped, node=node, how="crash")
        self.dead(node, at_s + 0.001 + self.random.random() / 500)

    def drop(self, node: str, at_s: float) -> None:
        fault = f"wifi_drop-{node}"
        self.add(at_s, t.FaultInjected, fault=fault, kind="wifi_drop", node=node, for_us=25_000_000)
        self.add(at_s + 0.5, t.FaultEffect, fault=fault, node=node, effect="held 2 bytes")
        self.dead(node, at_s + 12 + self.random.random() * 4)
        self.add(at_s + 25, t.FaultEnded, fault=fault, node=node)
        self.add(at_s + 25, t.NodeDisconnected, node=node, inc="1.1", reason="keepalive")
        self.boot(node, at_s + 25.2 + self.random.random(), "1.2")

    def dead(self, node: str, at_s: float) -> None:
        self.add(at_s, t.NodeStatusSeen, node=node, status="dead", inc="1.1")
        self.add(at_s, t.DeathReported, node=node, inc="1.1", cause="will")

    def finish(self, node: str, crashed: bool, dropped: bool) -> None:
        status = "dead" if crashed else "ready"
        final = {
            "running": not crashed,
            "connected": not crashed,
            "own_status": "ready",
            "master_status": status,
        }
        self.add(59, t.FinalNode, node=node, inc="1.2" if dropped else "1.1", **final)

    def __iter__(self) -> Iterator[t.Event]:
        yield t.RunStarted(
            t_us=0,
            scenario="fleet.yaml",
            seed=self.seed,
            time="virtual",
            broker="model",
            broker_granularity_s=1.0,
        )
        yield t.MasterStarted(t_us=0, boot=1)
        yield t.MasterConnected(t_us=0)
        for at_s, _, kind, fields in sorted(self.pending, key=lambda item: item[:2]):
            yield kind(t_us=round(at_s * 1e6), **fields)
        yield t.RunEnded(t_us=60_000_000, reason="finished")


@pytest.fixture
def fleet() -> NewFleet:
    """The events of a healthy fleet with faults: `fleet(nodes=10)`."""

    def make(nodes: int = 10, seed: int = 7, faults: int = 4, tasks_per_node: int = 6) -> list[t.Event]:
        return list(Fleet(nodes, seed, faults, tasks_per_node))

    return make


@pytest.fixture
def expectations() -> list[Check]:
    return [
        CHECKS["dead_within"].model_validate({"bound": "2s"}),
        *(
            CHECKS[name]()
            for name in (
                "no_false_deaths",
                "callback_once",
                "priority_order",
                "all_tasks_finished",
                "recovers_within",
                "final_status",
            )
        ),
        CHECKS["latency"].model_validate({"within": "60s"}),
    ]


@pytest.fixture
def good_run(fleet: NewFleet, expectations: list[Check]) -> RunReport:
    return judged(expectations, fleet(), wall_s=0.4)


@pytest.fixture
def bad_run(fleet: NewFleet, expectations: list[Check]) -> RunReport:
    """One death is never reported, and two takes of one node are in the wrong order."""
    events = fleet()
    lost = next(e for e in events if isinstance(e, t.DeathReported))
    takes: dict[str, list[t.TaskTaken]] = {}
    for event in events:
        if isinstance(event, t.TaskTaken):
            takes.setdefault(event.node, []).append(event)
    one, other = next((taken[0], taken[-1]) for taken in takes.values() if len(taken) > 2)
    first, last = events.index(one), events.index(other)
    events[first] = msgspec.structs.replace(other, t_us=one.t_us)
    events[last] = msgspec.structs.replace(one, t_us=other.t_us)
    events.remove(lost)
    return judged(expectations, events, wall_s=0.4)
