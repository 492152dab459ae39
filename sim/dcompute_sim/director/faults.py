"""What goes wrong: when each fault of a scenario strikes, and whom.

Every injection is announced to the recorder first, which then looks for its effect on the wire.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence

from dcompute_sim import trace as t
from dcompute_sim.director.deeds import LOOK_S, Deeds, Steps
from dcompute_sim.director.trigger import Triggers
from dcompute_sim.interfaces.node import Node
from dcompute_sim.interfaces.world import Engine, Machine
from dcompute_sim.scenario import Candidate, Fault, Scenario, active_until, fault_times, pick, rng_for
from dcompute_sim.scenario import faults as kinds
from dcompute_sim.scenario.faults import NodeFault

_FELT_UNCONNECTED = (
    kinds.WifiDrop,
    kinds.DeadLink,
    kinds.ApGone,
    kinds.Flap,
    kinds.SlowLink,
    kinds.Hang,
    kinds.Clone,
)
"""What also hits a node that has no connection: its attempts. The others end one, so it must have one."""


class Faults:
    """All faults of a concrete scenario."""

    def __init__(
        self,
        engine: Engine,
        scenario: Scenario,
        nodes: Mapping[str, Node],
        machines: Mapping[str, Machine],
        triggers: Triggers,
        deeds: Deeds,
    ) -> None:
        self._env = engine.env
        self._recorder = engine.recorder
        self._scenario = scenario
        self._nodes = nodes
        self._machines = machines
        self._triggers = triggers
        self._numbers = itertools.count(1)
        self._afflicted: dict[str, int] = {}
        self._over_s = active_until(scenario)
        self._awaiting: dict[int, Fault] = {}  # by index: the event that they wait for has not come yet
        self._deeds = deeds

    def start(self) -> None:
        """Let every fault wait for its moment."""
        for index, fault in enumerate(self._scenario.faults):
            self._env.process(self._when_due(index, fault))

    def finish(self) -> None:
        """The run ends: a fault whose event never came is recorded as one that found nobody."""
        for fault in self._awaiting.values():
            self._record_idle(fault)

    def close(self) -> None:
        """The run is over: leave no clone behind."""
        self._deeds.close()

    def _when_due(self, index: int, fault: Fault) -> Steps:
        rng = rng_for(self._scenario, f"select/{index}")
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
        """The event it waited for has come."""
        assert fault.when is not None
        yield self._env.timeout(fault.when.after)
        if self._env.now < self._over_s:
            self._awaiting.pop(index, None)
            self._strike(fault, rng, same)

    def _strike(self, fault: Fault, rng: random.Random, same: str) -> None:
        if fault.sure:
            self._env.process(self._strike_when_possible(fault, rng, same))
        elif isinstance(fault, NodeFault):
            self._strike_nodes(fault, pick(fault.select, self._candidates(), rng, same))
        else:
            self._strike_elsewhere(fault)

    def _strike_when_possible(self, fault: Fault, rng: random.Random, same: str) -> Steps:
        """A `sure` fault: wait for somebody it can hit."""
        if not isinstance(fault, NodeFault):
            while not self._deeds.possible_elsewhere(fault) and self._env.now < self._over_s:
                yield self._env.timeout(LOOK_S)
            self._strike_elsewhere(fault)
            return
        while True:
            candidates = self._candidates(with_connection=not isinstance(fault, _FELT_UNCONNECTED))
            healthy = {candidate.name for candidate in candidates if candidate.healthy}
            chosen = [name for name in pick(fault.select, candidates, rng, same) if name in healthy]
            if chosen or self._env.now >= self._over_s:
                break
            yield self._env.timeout(LOOK_S)
        self._strike_nodes(fault, chosen)

    def _strike_elsewhere(self, fault: Fault) -> None:
        name = f"{fault.kind}-{next(self._numbers)}"
        self._recorder.fault(name, fault.kind, for_s=fault.lasts)
        self._env.process(self._deeds.elsewhere(fault, name))

    def _strike_nodes(self, fault: NodeFault, chosen: Sequence[str]) -> None:
        if not chosen:
            self._record_idle(fault)
        for node in chosen:
            name = f"{fault.kind}-{next(self._numbers)}"
            self._recorder.fault(name, fault.kind, node, fault.lasts)
            self._env.process(self._afflict(fault, name, node))

    def _record_idle(self, fault: Fault) -> None:
        """Recorded all the same: a fault that found nobody proves nothing."""
        name = f"{fault.kind}-{next(self._numbers)}"
        self._recorder.add(t.FaultInjected, fault=name, kind=fault.kind)

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

    def _afflict(self, fault: Fault, name: str, node: str) -> Steps:
        self._afflicted[node] = self._afflicted.get(node, 0) + 1
        yield from self._deeds.on_node(fault, name, node)
        self._afflicted[node] -= 1
