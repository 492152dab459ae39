"""A scenario under way from its parent to a new one, and what all changes of it are made of.

What is set anew is drawn as the swarm draws it, at a moment that the parent's run had.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence, Set
from typing import Any

from dcompute_sim.faults import KINDS, Fault, MasterFault, NodeFault
from dcompute_sim.faults.fault import Seen
from dcompute_sim.faults.schedule import Select, When
from dcompute_sim.hunt.corpus import Entry
from dcompute_sim.hunt.moments import Moment
from dcompute_sim.scenario import Swarm
from dcompute_sim.scenario.entry_ids import with_ids
from dcompute_sim.scenario.fleet import MASTER, Group
from dcompute_sim.scenario.swarm import (
    OUTAGES,
    draw_fault,
    is_fatal,
    is_outage,
    kinds_of,
    last_begin_s,
    longest_s,
)
from dcompute_sim.scenario.workload import TaskStream
from dcompute_sim.yamlfile.units import format_duration

CLOSE_S = (0.003, 6.0)
"""How near to another fault, or how soon after an event, evenly in orders of magnitude."""


class Draft:
    """A scenario under way.

    Args:
        swarm: the ranges.
        fixed: ids of entries and names of groups that are not the swarm's.
        parent: of which it is made.
        other: of which a part may be taken.
    """

    def __init__(
        self, swarm: Swarm, fixed: Set[str], rng: random.Random, parent: Entry, other: Entry
    ) -> None:
        self.scenario = parent.scenario
        self.swarm = swarm
        self.fixed = fixed
        self.rng = rng
        self.other = other.scenario
        names = {"", *self.scenario.nodes()}
        self.moments = [moment for moment in parent.moments if moment.node in names]  # of no clone
        self.last_s = last_begin_s(swarm, parent.scenario.fleet)
        self.kinds = kinds_of(swarm)

    def fault(self) -> tuple[int, Fault | None]:
        """Return one of the swarm's faults and its index."""
        drawn = [(at, fault) for at, fault in enumerate(self.scenario.faults) if self.is_drawn(fault)]
        return self.rng.choice(drawn) if drawn else (0, None)

    def is_drawn(self, fault: Fault) -> bool:
        """Say whether it is one of the swarm's."""
        return fault.id not in self.fixed and fault.kind in self.kinds

    def group(self) -> tuple[str, Group | None]:
        """Return one of the swarm's groups and its name."""
        drawn = [(name, group) for name, group in self.scenario.fleet.items() if name not in self.fixed]
        return self.rng.choice(drawn) if drawn else ("", None)

    def masters(self) -> list[str]:
        """Return those that the swarm strikes."""
        return [MASTER, *(name for name in self.scenario.masters if name not in self.fixed)]

    def stream(self) -> tuple[int, TaskStream | None]:
        """Return one of the swarm's streams of tasks and its index."""
        drawn = [(at, s) for at, s in enumerate(self.scenario.workload) if s.id not in self.fixed]
        return self.rng.choice(drawn) if drawn else (0, None)

    def staying(self) -> list[str]:
        """Return the nodes that no fault takes for good; all, if each does."""
        lost = {name for fault in self._at_nodes() if is_for_good(fault) for name in fault.select.names or ()}
        names = list(self.scenario.nodes())
        return [name for name in names if name not in lost] or names

    def victim(self) -> str:
        """Return a node that no fault takes for good; often one that some fault names."""
        staying = self.staying()
        named = [name for fault in self._at_nodes() for name in fault.select.names or () if name in staying]
        return self.rng.choice(named if named and self.rng.random() < 0.5 else staying)

    def _at_nodes(self) -> list[NodeFault]:
        return [fault for fault in self.scenario.faults if isinstance(fault, NodeFault)]

    def replace(self, index: int, fault: Fault) -> None:
        """Let this fault strike instead of the one at that index."""
        faults = list(self.scenario.faults)
        faults[index] = fault
        self.scenario = self.scenario.model_copy(update={"faults": faults})

    def add(self, faults: Sequence[Fault]) -> None:
        """Let these strike as well; as many of the others go as are too many then, but none that strikes for
        good: a run in which nobody's death is told is undecided."""
        drawn = [fault for fault in self.scenario.faults if self.is_drawn(fault)]
        free = [fault for fault in drawn if not is_for_good(fault)]
        excess = max(0, len(drawn) + len(faults) - self.swarm.faults[1])
        gone = {fault.id for fault in self.rng.sample(free, min(excess, len(free)))}
        kept = [fault for fault in self.scenario.faults if fault.id not in gone]
        self.scenario = self.scenario.model_copy(update={"faults": with_ids([*kept, *faults], "fault")})

    def kind(self) -> str | None:
        """Return one that may strike; no further outage when there are as many as may be."""
        kinds = self.kinds
        if sum(is_outage(fault.kind) for fault in self.scenario.faults) >= OUTAGES:
            kinds = [kind for kind in kinds if not is_outage(kind)]
        return self.rng.choice(kinds) if kinds else None

    def named(self, fault: Fault) -> Fault:
        """Return the same fault with an id of its own."""
        return with_ids([*self.scenario.faults, fault.model_copy(update={"id": None})], "fault")[-1]

    def new(self, kind: str, at_s: float) -> Fault:
        """Return a fault as the swarm draws it; some of those that kill are for good."""
        at_s = min(max(at_s, 0.05 * self.swarm.span), self.last_s)
        drawn = draw_fault(self.swarm, self.rng, kind, at_s, self.last_s)
        if issubclass(KINDS[kind], MasterFault):
            drawn["master"] = self.rng.choice(self.masters())
        if is_fatal(kind) and self.rng.random() < 0.2:
            del drawn["restart_after"]
            piled_on = {stream.target.node for stream in self.scenario.workload}
            names = [name for name in self.scenario.nodes() if name not in piled_on]
            drawn["select"] = {"names": names, "count": 1}
        return KINDS[kind].model_validate(drawn)

    def at(self, fault: Fault, at_s: float) -> Fault:
        """Return the same fault at a time of day."""
        at_s = round(min(max(at_s, 0.05 * self.swarm.span), self.last_s), 3)
        update: dict[str, Any] = {"at": at_s, "when": None}
        if isinstance(fault, NodeFault) and fault.select.same:
            update["select"] = Select()
        return self.fitted(fault.model_copy(update=update), at_s)

    def at_an_event(self, fault: Fault) -> Fault:
        """Return the same fault soon after an event that the parent's run had."""
        soon = self.soon()
        if not soon:
            return fault
        # Early ones rather: what comes late in the parent's run may not come at all in the child's.
        moment = min((self.rng.choice(soon) for _ in range(2)), key=lambda moment: moment.count)
        fault = self.after(fault, moment, self.close_s() if self.rng.random() < 0.7 else 0.0)
        if isinstance(fault, NodeFault) and not is_for_good(fault):
            if moment.node and self.rng.random() < 0.7:
                return fault.model_copy(update={"select": Select(same=True)})
            if fault.select.same:
                return fault.model_copy(update={"select": Select()})
        return fault

    def after(self, fault: Fault, moment: Moment, after_s: float) -> Fault:
        """Return the same fault so long after a moment."""
        when = When.model_validate(
            {
                "event": moment.event,
                "node": moment.node or None,
                "count": moment.count,
                "after": format_duration(round(after_s, 3)),
            }
        )
        return self.fitted(fault.model_copy(update={"at": None, "when": when}), moment.t_s + after_s)

    def soon(self, names: Sequence[str] | None = None) -> list[Moment]:
        """Return the moments at which a fault may still begin; of these nodes, if any are given."""
        return [
            moment
            for moment in self.moments
            if moment.t_s < self.last_s and (names is None or moment.node in names)
        ]

    def lose_few(self) -> None:
        """Let each fault that strikes for good strike a node that is named, so that the others are there for
        certain: what was to befall the one it took would be in vain. Who would be missed comes back: more
        than half of a fleet stays, and so does a node on which work is piled."""
        piled_on = {stream.target.node for stream in self.scenario.workload}
        may_go = (len(self.scenario.nodes()) - 1) // 2
        faults, taken = list(self.scenario.faults), set[str]()
        for index, fault in enumerate(faults):
            if not (self.is_drawn(fault) and is_for_good(fault)):
                continue
            named = fault.select.names or () if isinstance(fault, NodeFault) else ()
            names = [name for name in named if name not in piled_on and name not in taken]
            if names and len(taken) < may_go:
                name = self.rng.choice(names)
                taken.add(name)
                faults[index] = fault.model_copy(update={"select": Select(names=[name], count=1)})
            else:
                most_s = longest_s(self.swarm, fault.kind, self.begin_s(fault))
                faults[index] = lasting(fault, self.log_uniform(0.1, max(0.1, most_s)))
        self.scenario = self.scenario.model_copy(update={"faults": faults})

    def fitted(self, fault: Fault, begin_s: float) -> Fault:
        """Return it not longer than it may be from then on."""
        cls = type(fault)
        most_s = longest_s(self.swarm, fault.kind, begin_s)
        if cls.recovers:
            return lasting(fault, most_s) if fault.lasts is not None and fault.lasts > most_s else fault
        own = cls.draw(self.rng, self.last_s - begin_s)
        if not own:
            return fault
        drawn = cls.model_validate({"kind": fault.kind, "at": "1s", **own})
        return fault.model_copy(update={key: getattr(drawn, key) for key in own})

    def moved_here(self, fault: Fault) -> Fault:
        """Return a fault of the other scenario, with the nodes of this one for its own."""
        mine, theirs = list(self.scenario.nodes()), list(self.other.nodes())

        def here(name: str) -> str:
            return mine[theirs.index(name) % len(mine)] if name in theirs else mine[0]

        update: dict[str, object] = {}
        if isinstance(fault, NodeFault) and fault.select.names:
            names = list(dict.fromkeys(map(here, fault.select.names)))
            if is_for_good(fault):
                piled_on = {stream.target.node for stream in self.scenario.workload}
                names = [name for name in mine if name not in piled_on]
            update["select"] = fault.select.model_copy(update={"names": names})
        if isinstance(fault, MasterFault) and fault.master not in self.masters():
            update["master"] = MASTER
        if fault.when is not None:
            group = fault.when.group
            node = None if fault.when.node is None else here(fault.when.node)
            kept = group if group in self.scenario.fleet else None
            update["when"] = fault.when.model_copy(update={"node": node, "group": kept})
        return fault.model_copy(update=update)

    def begin_s(self, fault: Fault) -> float:
        """Return when it strikes; of one that waits for an event, when that came in the parent's run, or the
        last before it if it did not come."""
        if fault.at is not None or fault.when is None:
            return fault.at or 0.0
        when = fault.when
        before = [
            moment.t_s
            for moment in self.moments
            if (moment.event, moment.node) == (when.event, when.node or "") and moment.count <= when.count
        ]
        return max(before, default=0.05 * self.swarm.span) + when.after

    def round_trip_s(self, node: str) -> float:
        """Tell how long a node waits for an answer at most."""
        network = self.scenario.network_of(self.scenario.nodes()[node])
        return 2 * (network.latency or 0.0) + (network.jitter or 0.0)

    def close_s(self) -> float:
        """Tell how long after or before another."""
        return self.log_uniform(*CLOSE_S)

    def log_uniform(self, low: float, high: float) -> float:
        """Draw anything in between, evenly in orders of magnitude."""
        return round(math.exp(self.rng.uniform(math.log(low), math.log(high))), 3)


def is_for_good(fault: Fault) -> bool:
    """Say whether who it strikes does not come back."""
    return type(fault).recovers and fault.lasts is None


def ends_at_once(kind: type[Fault]) -> bool:
    """Say whether faults of a kind end a connection there and then, after which the node connects anew."""
    return kind.seen is Seen.CLOSED and not kind.recovers


def lasting(fault: Fault, lasts_s: float) -> Fault:
    """Return the fault, but lasting so long."""
    key = "restart_after" if "restart_after" in type(fault).model_fields else "heal_after"
    return fault.model_copy(update={key: round(max(0.1, lasts_s), 3)})


def elsewhere(fault: Fault, others: Mapping[str, str], group: str, count: int) -> Fault:
    """Return the fault, with other nodes for those of a group of which only the first `count` are left."""
    update: dict[str, object] = {}
    if isinstance(fault, NodeFault) and fault.select.names:
        names = list(dict.fromkeys(others.get(name, name) for name in fault.select.names))
        if is_for_good(fault):
            names = [name for name in fault.select.names if name not in others] or names
        update["select"] = fault.select.model_copy(update={"names": names})
    if fault.when is not None:
        when = fault.when
        changed: dict[str, object] = {"node": others.get(when.node or "", when.node)}
        if when.group == group:
            changed["count"] = min(when.count, count)
        update["when"] = when.model_copy(update=changed)
    return fault.model_copy(update=update)
