"""Carries out the schedule of faults: waits for the moment of each, chooses whom it strikes, lets it be done.

Every injection is announced to the recorder first, which then looks for its effect on the wire.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Mapping, Sequence

from simpy import Event

from dcompute.parts import noun
from dcompute_sim.director.fault_world import FaultWorld
from dcompute_sim.director.trigger import Triggers
from dcompute_sim.faults import Fault, NodeFault
from dcompute_sim.faults.fault import Steps
from dcompute_sim.faults.injection import LOOK_S, Injection, Target
from dcompute_sim.faults.schedule import Candidate, pick
from dcompute_sim.interfaces.node import Node
from dcompute_sim.interfaces.world import Engine, Machine
from dcompute_sim.recorder import Recorder
from dcompute_sim.scenario import Scenario, active_until, fault_times, rng_for

_NOBODY = "there was no node that it could strike"


class Faults:
    """All faults of a concrete scenario."""

    def __init__(
        self,
        engine: Engine,
        recorder: Recorder,
        scenario: Scenario,
        nodes: Mapping[str, Node],
        machines: Mapping[str, Machine],
        triggers: Triggers,
        world: FaultWorld,
    ) -> None:
        self._env = engine.env
        self._recorder = recorder
        self._scenario = scenario
        self._nodes = nodes
        self._machines = machines
        self._triggers = triggers
        self._numbers = itertools.count(1)
        self._strikes: Counter[str] = Counter()  # by entry
        self._afflicted: dict[str, int] = {}
        self._over_s = active_until(scenario)
        self._awaiting: dict[int, Fault] = {}  # by index: the event that they wait for has not come yet
        self._world = world
        self._targets: dict[str, Target] = {}  # of nodes that were struck
        self._undone: dict[str, Event] = {}  # by name: those that somebody can undo

    def start(self) -> None:
        """Let every fault wait for its moment."""
        for index, fault in enumerate(self._scenario.faults):
            self._env.process(self._when_due(index, fault))

    def finish(self) -> None:
        """Record a fault whose event never came as one that found nobody: the run ends."""
        for fault in self._awaiting.values():
            self._record_idle(fault, "its event never came")

    def strike(self, fault: Fault, node: str = "") -> str:
        """Let a fault that no scenario has be done now. The trace and the receipts know it as any other.

        Args:
            node: whom it strikes, for a fault of nodes.

        Returns:
            Its name in this run, by which it can be undone.
        """
        undone = self._env.event()
        name = self._do(fault, self._target(node) if node else None, undone)
        self._undone[name] = undone
        return name

    def undo(self, name: str) -> None:
        """End a fault that `strike` began; what is over already stays so. KeyError: there is none."""
        undone = self._undone[name]
        if not undone.triggered:
            undone.succeed()

    def _when_due(self, index: int, fault: Fault) -> Steps:
        rng = rng_for(self._scenario, f"select/{fault.id}")
        if fault.when is not None:
            self._awaiting[index] = fault
            for triggered in self._triggers.watch(fault.when, fault.times or 1):
                event = yield triggered
                self._env.process(self._after(index, fault, rng, getattr(event, "node", "")))
            return
        for moment_s in fault_times(self._scenario, index):
            if moment_s > self._env.now:
                yield self._env.timeout(moment_s - self._env.now)
            self._strike(fault, rng, "")

    def _after(self, index: int, fault: Fault, rng: random.Random, same: str) -> Steps:
        """Strike after the event that it waited for, which has come."""
        assert fault.when is not None
        yield self._env.timeout(fault.when.after)
        if self._env.now < self._over_s:
            self._awaiting.pop(index, None)
            self._strike(fault, rng, same)

    def _strike(self, fault: Fault, rng: random.Random, same: str) -> None:
        if fault.sure:
            self._env.process(self._strike_when_possible(fault, rng, same))
        elif isinstance(fault, NodeFault) and fault.needs_node:
            self._strike_nodes(fault, pick(fault.select, self._candidates(), rng, same))
        else:
            self._do(fault)

    def _strike_when_possible(self, fault: Fault, rng: random.Random, same: str) -> Steps:
        """Strike with a `sure` fault: wait for somebody it can hit."""
        if not isinstance(fault, NodeFault) or not fault.needs_node:
            while not fault.possible(self._world) and self._env.now < self._over_s:
                yield self._env.timeout(LOOK_S)
            self._do(fault)
            return
        began_s = self._env.now
        while True:
            candidates = self._candidates(with_connection=fault.needs_connection)
            healthy = {candidate.name for candidate in candidates if candidate.healthy}
            chosen = [name for name in pick(fault.select, candidates, rng, same) if name in healthy]
            if chosen or self._env.now >= self._over_s:
                break
            yield self._env.timeout(LOOK_S)
        if chosen:
            self._strike_nodes(fault, chosen)
            return
        why = self._why_nobody(pick(fault.select, candidates, rng, same), candidates)
        self._record_idle(fault, f"{_NOBODY} {why}from {began_s:.1f} s until the quiet end")

    def _why_nobody(self, wanted: Sequence[str], candidates: Sequence[Candidate]) -> str:
        """Tell what kept a fault off those that it wanted at last, or else off everybody."""
        among = wanted or [candidate.name for candidate in candidates]
        off = [name for name in among if not self._nodes[name].running]
        held = [name for name in among if name not in off and self._afflicted.get(name)]
        apart = [name for name in among if name not in (*off, *held)]
        reasons = ((off, "off"), (held, "held by another fault"), (apart, "without a connection"))
        told = [
            f"{', '.join(names[:3])} {noun(len(names), 'was', 'were')} {state}"
            for names, state in reasons
            if names
        ]
        return f"({'; '.join(told)}) " if told else ""

    def _strike_nodes(self, fault: NodeFault, chosen: Sequence[str]) -> None:
        if not chosen:
            self._record_idle(fault, _NOBODY)
        for node in chosen:
            self._do(fault, self._target(node))

    def _target(self, node: str) -> Target:
        if node not in self._targets:
            self._targets[node] = Target(node, self._nodes[node], self._machines[node])
        return self._targets[node]

    def _do(self, fault: Fault, struck: Target | None = None, undone: Event | None = None) -> str:
        name = f"{fault.kind}-{next(self._numbers)}"
        entry = fault.id or fault.kind
        self._strikes[entry] += 1
        key = f"{entry}-{self._strikes[entry]}"
        act = Injection(
            name, key, fault.lasts, fault.sure, self._over_s, self._world, self._recorder, struck, undone
        )
        self._recorder.fault(name, fault, act.whom)
        self._env.process(self._afflict(fault, act))
        return name

    def _record_idle(self, fault: Fault, why: str) -> None:
        """Record it all the same: a fault that found nobody proves nothing."""
        self._recorder.fault_not_done(f"{fault.kind}-{next(self._numbers)}", fault, why)

    def _candidates(self, *, with_connection: bool = False) -> list[Candidate]:
        return [
            Candidate(
                name,
                node.group_name,
                node.status,
                healthy=node.running
                and not self._afflicted.get(name)
                and (not with_connection or self._machines[name].connections() > 0),
            )
            for name, node in self._nodes.items()
        ]

    def _afflict(self, fault: Fault, act: Injection) -> Steps:
        node = act.whom
        self._afflicted[node] = self._afflicted.get(node, 0) + 1
        yield from fault.inject(act)
        self._afflicted[node] -= 1
