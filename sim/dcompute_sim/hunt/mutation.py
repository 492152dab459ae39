"""Breeds scenarios: one that showed something rare, changed, or with a part of another.

What is changed is what random draws seldom get right: that a fault strikes just after another, or at the very
node, or while somebody is in between two states. What a change sets anew it draws as the swarm does. Several
changes are made at a time, and what makes no sense afterwards (`sense`) is drawn again.

Most changes add a fault, until there are as many as the swarm may have; then one goes for each that comes.
A run's cost is that of its fleet and its work (of 66 ms of a seed 19 for its nodes and 36 for its tasks),
what it shows grows with the pairs of its faults at one node: so bred runs have 8 of at most 8 faults where
fresh ones have 4.5, and mostly fewer nodes and tasks. With one or two small changes to the parent they showed
no more than fresh ones.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

from dcompute_sim.faults import KINDS, Fault, MasterFault, NodeFault
from dcompute_sim.faults.schedule import Select, When
from dcompute_sim.hunt.corpus import Entry
from dcompute_sim.hunt.moments import Moment
from dcompute_sim.hunt.sense import is_sensible
from dcompute_sim.scenario import Scenario, Swarm
from dcompute_sim.scenario.entry_ids import with_ids
from dcompute_sim.scenario.fleet import MASTER, Group, node_names
from dcompute_sim.scenario.swarm import (
    LIMITS,
    NOISE,
    OUTAGES,
    draw_fault,
    draw_group,
    draw_noise,
    draw_terms,
    is_fatal,
    is_outage,
    kinds_of,
    last_begin_s,
    longest_s,
)
from dcompute_sim.scenario.workload import TaskStream
from dcompute_sim.yamlfile.units import format_duration

_TRIES = 20
_MORE_CHANGES = 3.0  # on average, beside the first
_MOST_CHANGES = 8
_CLOSE_S = (
    0.003,
    6.0,
)  # how near to another fault, or how soon after an event, evenly in orders of magnitude
_MOST_IN_A_ROW = 8
_PILE = 5  # tasks
_SEEDS = 2**31


class Breeder:
    """Makes new scenarios out of kept ones.

    Args:
        swarm: the ranges.
        fixed: ids of entries and names of groups that are not the swarm's: left as they are.
        rng: where all is drawn from.
    """

    def __init__(self, swarm: Swarm, fixed: Set[str], rng: random.Random) -> None:
        self._swarm = swarm
        self._fixed = fixed
        self._rng = rng

    def breed(self, parent: Entry, other: Entry) -> Scenario:
        """A scenario within the ranges, made of `parent` and perhaps a part of `other`; of the parent with
        other dice when no change makes sense."""
        for _ in range(_TRIES):
            change = Mutation(self._swarm, self._fixed, self._rng, parent, other)
            changes = list(MUTATIONS)
            count = 1 + min(int(self._rng.expovariate(1 / _MORE_CHANGES)), _MOST_CHANGES - 1)
            for make in sorted(
                self._rng.choices(changes, list(MUTATIONS.values()), k=count), key=changes.index
            ):
                make(change)
            bred = change.scenario
            if bred != parent.scenario and is_sensible(bred, self._swarm, self._fixed):
                return bred
        return parent.scenario.model_copy(update={"seed": self._rng.randrange(_SEEDS)})


class Mutation:
    """A scenario under way from its parent to a new one. Each method is a change; some find nothing to do."""

    def __init__(
        self, swarm: Swarm, fixed: Set[str], rng: random.Random, parent: Entry, other: Entry
    ) -> None:
        self.scenario = parent.scenario
        self._swarm = swarm
        self._fixed = fixed
        self._rng = rng
        self._other = other.scenario
        self._moments = parent.moments
        self._last_s = last_begin_s(swarm, parent.scenario.fleet)

    def made_small(self) -> None:
        """Each group, and each stream of tasks, is smaller."""
        for name in [name for name in self.scenario.fleet if name not in self._fixed]:
            self._shrink_group(name)
        for index, stream in enumerate(self.scenario.workload):
            if stream.id not in self._fixed:
                self._rework(index, stream, stream.tasks)

    # --- when ---------------------------------------------------------------------------------------------

    def near_another(self) -> None:
        """A fault strikes just before or after another one."""
        index, fault = self._fault()
        _, other = self._fault()
        if fault is not None and other is not None and fault is not other:
            offset_s = self._close_s() * self._rng.choice([1, 1, -1])
            self._set(index, self._at(fault, self._begin_s(other) + offset_s))

    def at_a_state(self) -> None:
        """A fault strikes when somebody is in between two states, mostly that very node."""
        index, fault = self._fault()
        if fault is not None:
            self._set(index, self._when(fault))

    def elsewhere_in_time(self) -> None:
        """A fault strikes at another time."""
        index, fault = self._fault()
        if fault is not None:
            self._set(index, self._at(fault, self._rng.uniform(0.05 * self._swarm.span, self._last_s)))

    def in_another_order(self) -> None:
        """Two faults change places."""
        index, fault = self._fault()
        other_index, other = self._fault()
        if fault is not None and other is not None and index != other_index:
            self._set(index, self._at(fault, self._begin_s(other)))
            self._set(other_index, self._at(other, self._begin_s(fault)))

    # --- whom ---------------------------------------------------------------------------------------------

    def another_victim(self) -> None:
        """A fault strikes another node; often one that another fault strikes."""
        index, fault = self._fault()
        if isinstance(fault, NodeFault) and not _is_for_good(fault):
            self._set(index, fault.model_copy(update={"select": Select(names=[self._victim()])}))

    def the_same_victim(self) -> None:
        """Two faults strike one node, the second soon after the first."""
        index, fault = self._fault()
        other_index, other = self._fault()
        if not (isinstance(fault, NodeFault) and isinstance(other, NodeFault)) or fault is other:
            return
        if _is_for_good(fault) or _is_for_good(other):
            return
        select = Select(names=[self._victim()])
        self._set(index, fault.model_copy(update={"select": select}))
        at_s = self._begin_s(fault) + self._close_s()
        self._set(other_index, self._at(other.model_copy(update={"select": select}), at_s))

    def in_a_row(self) -> None:
        """Faults strike one node, its broker or its master one soon after the other, or when that node next
        comes to some state: what random draws hardly ever do twice in a row."""
        drawn = [at for at, fault in enumerate(self.scenario.faults) if self._is_drawn(fault)]
        chosen = self._rng.sample(drawn, min(len(drawn), self._rng.randint(2, _MOST_IN_A_ROW)))
        select = Select(names=[self._victim()])
        soon = self._soon(select.names)
        at_s = self._begin_s(self.scenario.faults[chosen[0]]) if chosen else 0.0
        for index in chosen:
            fault = self.scenario.faults[index]
            if isinstance(fault, NodeFault):
                if _is_for_good(fault):
                    continue
                fault = fault.model_copy(update={"select": select})
            after_s = self._close_s()
            later = [moment for moment in soon if moment.t_s >= at_s]
            if later and self._rng.random() < 0.5:
                moment = min(later, key=lambda moment: moment.t_s + self._rng.expovariate(0.2))
                at_s = moment.t_s + (after_s := min(after_s, self._close_s()))
                fault = self._after(fault, moment, after_s)
            else:
                at_s = min(at_s + after_s, self._last_s)
                fault = self._at(fault, at_s)
            if fault.lasts is not None:
                fault = _lasting(fault, min(fault.lasts, self._log_uniform(0.1, _CLOSE_S[1])))
            self._set(index, fault)

    def again_there(self) -> None:
        """A fault that waits for a state strikes again when it comes to that state the next time."""
        drawn = filter(self._is_drawn, self.scenario.faults)
        waiting = [(fault, fault.when) for fault in drawn if fault.when is not None]
        if waiting:
            fault, when = self._rng.choice(waiting)
            again = when.model_copy(update={"count": when.count + 1})
            self._add([fault.model_copy(update={"id": None, "when": again})])

    # --- what ---------------------------------------------------------------------------------------------

    def as_long(self) -> None:
        """A fault lasts longer or shorter."""
        index, fault = self._fault()
        if fault is not None and fault.lasts is not None:
            most_s = longest_s(self._swarm, fault.kind, self._begin_s(fault))
            if most_s > 0.1:
                self._set(index, _lasting(fault, self._log_uniform(0.1, most_s)))

    def another_kind(self) -> None:
        """Another fault strikes there and then."""
        index, fault = self._fault()
        if fault is None:
            return
        new = self._new(self._kind(), self._begin_s(fault))
        if isinstance(new, NodeFault) and isinstance(fault, NodeFault) and not _is_for_good(fault):
            new = new.model_copy(update={"select": fault.select, "when": fault.when})
            new = new.model_copy(update={"at": new.at if fault.when is None else None})
        self._set(index, self._named(new))

    def one_more(self) -> None:
        """One more fault strikes, mostly close to another."""
        _, fault = self._fault()
        at_s = self._rng.uniform(0.05 * self._swarm.span, self._last_s)
        if fault is not None and self._rng.random() < 0.7:
            at_s = self._begin_s(fault) + self._close_s()
        new = self._new(self._kind(), at_s)
        if isinstance(new, NodeFault) and isinstance(fault, NodeFault) and self._rng.random() < 0.5:
            if fault.select.names and not _is_for_good(fault):
                new = new.model_copy(update={"select": fault.select})
        elif self._moments and self._rng.random() < 0.3:
            new = self._when(new)
        self._add([new])

    def once_again(self) -> None:
        """A fault strikes again soon after."""
        _, fault = self._fault()
        if fault is not None and not _is_for_good(fault):
            again = fault.model_copy(update={"id": None})
            self._add([self._at(again, self._begin_s(fault) + (fault.lasts or 0.0) + self._close_s())])

    def one_less(self) -> None:
        """A fault does not strike."""
        index, fault = self._fault()
        if fault is not None:
            faults = [entry for at, entry in enumerate(self.scenario.faults) if at != index]
            self.scenario = self.scenario.model_copy(update={"faults": faults})

    def spliced(self) -> None:
        """Some faults of another scenario strike as well, or instead of as many."""
        theirs = [fault for fault in self._other.faults if self._is_drawn(fault)]
        if not theirs:
            return
        start = self._rng.randrange(len(theirs))
        chosen = theirs[start : start + self._rng.randint(1, 3)]
        for _ in range(len(chosen) if self._rng.random() < 0.5 else 0):
            self.one_less()
        self._add([self._moved_here(fault).model_copy(update={"id": None}) for fault in chosen])

    # --- the rest -----------------------------------------------------------------------------------------

    def another_network(self) -> None:
        """A group is nearer or further away."""
        name, group = self._group()
        if group is not None:
            drawn = type(group).model_validate(draw_group(self._swarm, self._rng, group.count))
            key = self._rng.choice(["network", "network", "keepalive", "poll", "work"])
            fleet = self.scenario.fleet | {name: group.model_copy(update={key: getattr(drawn, key)})}
            self.scenario = self.scenario.model_copy(update={"fleet": fleet})

    def smaller_fleet(self) -> None:
        """A group has fewer nodes; what struck those strikes the others."""
        name, group = self._group()
        if group is not None:
            self._shrink_group(name)

    def _shrink_group(self, name: str) -> None:
        group = self.scenario.fleet[name]
        least = max(1, self._swarm.nodes[0] - len(self.scenario.nodes()) + group.count)
        if least >= group.count:
            return
        count = min(self._rng.randint(least, group.count - 1) for _ in range(2))
        nodes = node_names(name, group.count)
        others = {node: nodes[at % count] for at, node in enumerate(nodes) if at >= count}
        fleet = self.scenario.fleet | {name: group.model_copy(update={"count": count})}
        faults = [_elsewhere(fault, others, name, count) for fault in self.scenario.faults]
        self.scenario = self.scenario.model_copy(update={"fleet": fleet, "faults": faults})
        self._moments = [moment for moment in self._moments if moment.node not in others]

    def other_limits(self) -> None:
        """The nodes of a group hold fewer tasks or results, or more; few rather, for only a full node acts
        otherwise."""
        name, group = self._group()
        ranges = {limit: bounds for limit in LIMITS if (bounds := getattr(self._swarm, limit)) is not None}
        if group is not None and ranges:
            limit = self._rng.choice(list(ranges))
            value = round(self._log_uniform(*ranges[limit]))
            fleet = self.scenario.fleet | {name: group.model_copy(update={limit: value})}
            self.scenario = self.scenario.model_copy(update={"fleet": fleet})

    def other_noise(self) -> None:
        """A stranger publishes one thing more, or something else if there are as many as may be; often just
        before or after a fault."""
        noise = [
            at
            for at, entry in enumerate(self.scenario.faults)
            if entry.kind in NOISE and entry.id not in self._fixed
        ]
        most = self._swarm.noise[1]
        if not most:
            return
        number = len(noise) if len(noise) < most else self._rng.randrange(len(noise))
        drawn = draw_noise(self._swarm, self._rng, number)
        _, fault = self._fault()
        if fault is not None and self._rng.random() < 0.7:
            at_s = self._begin_s(fault) + self._close_s() * self._rng.choice([1, -1])
            drawn["at"] = format_duration(round(min(max(at_s, 0.1), self._last_s), 3))
        made = self._named(KINDS[drawn["kind"]].model_validate(drawn))
        if number == len(noise):
            self.scenario = self.scenario.model_copy(update={"faults": [*self.scenario.faults, made]})
        else:
            self._set(noise[number], made)

    def work_elsewhere(self) -> None:
        """A pile of tasks comes just before a fault."""
        index, stream = self._stream()
        _, fault = self._fault()
        if stream is not None and fault is not None and stream.target.node is not None:
            at_s = max(0.1, self._begin_s(fault) - self._close_s())
            streams = list(self.scenario.workload)
            streams[index] = stream.model_copy(update={"at": round(at_s, 3)})
            self.scenario = self.scenario.model_copy(update={"workload": streams})

    def other_work(self) -> None:
        """A stream has fewer tasks or more; fewer rather, for what they show is mostly the same. A pile stays
        one, or the order of what waits there would show nothing."""
        index, stream = self._stream()
        if stream is not None:
            self._rework(index, stream)

    def _rework(self, index: int, stream: TaskStream, at_most: int | None = None) -> None:
        if stream.tasks is None:
            return
        fewest, most = self._swarm.tasks
        others = sum(other.tasks or 0 for at, other in enumerate(self.scenario.workload) if at != index)
        least = 1 if stream.target.node is None else _PILE
        low, high = max(least, fewest - others), max(least, min(most - others, at_most or most))
        streams = list(self.scenario.workload)
        streams[index] = stream.model_copy(update={"tasks": round(self._log_uniform(low, max(low, high)))})
        self.scenario = self.scenario.model_copy(update={"workload": streams})

    def other_terms(self) -> None:
        """An executor has the work of a stream done on other terms."""
        index, stream = self._stream()
        if stream is not None and stream.via == "executor":
            terms = TaskStream.model_validate({"tasks": 1, **draw_terms(self._rng)})
            update = {key: getattr(terms, key) for key in ("once", "timeout", "retries")}
            streams = list(self.scenario.workload)
            streams[index] = stream.model_copy(update=update)
            self.scenario = self.scenario.model_copy(update={"workload": streams})

    def other_dice(self) -> None:
        """All that is still drawn is drawn anew."""
        self.scenario = self.scenario.model_copy(update={"seed": self._rng.randrange(_SEEDS)})

    # --- parts --------------------------------------------------------------------------------------------

    def _fault(self) -> tuple[int, Fault | None]:
        """One of the swarm's faults and its index."""
        drawn = [(at, fault) for at, fault in enumerate(self.scenario.faults) if self._is_drawn(fault)]
        return self._rng.choice(drawn) if drawn else (0, None)

    def _is_drawn(self, fault: Fault) -> bool:
        return fault.id not in self._fixed and fault.kind in kinds_of(self._swarm)

    def _group(self) -> tuple[str, Group | None]:
        drawn = [(name, group) for name, group in self.scenario.fleet.items() if name not in self._fixed]
        return self._rng.choice(drawn) if drawn else ("", None)

    def _masters(self) -> list[str]:
        """Those that the swarm strikes."""
        return [MASTER, *(name for name in self.scenario.masters if name not in self._fixed)]

    def _stream(self) -> tuple[int, Any]:
        drawn = [(at, s) for at, s in enumerate(self.scenario.workload) if s.id not in self._fixed]
        return self._rng.choice(drawn) if drawn else (0, None)

    def _victim(self) -> str:
        """A node; often one that some fault names."""
        named = [
            name
            for fault in self.scenario.faults
            if isinstance(fault, NodeFault) and not _is_for_good(fault)
            for name in fault.select.names or ()
        ]
        names = list(self.scenario.nodes())
        return self._rng.choice(named if named and self._rng.random() < 0.5 else names)

    def _set(self, index: int, fault: Fault) -> None:
        faults = list(self.scenario.faults)
        faults[index] = fault
        self.scenario = self.scenario.model_copy(update={"faults": faults})

    def _add(self, faults: Sequence[Fault]) -> None:
        """These strike as well; as many of the others go as are too many then."""
        here = [fault for fault in self.scenario.faults if self._is_drawn(fault)]
        excess = max(0, len(here) + len(faults) - self._swarm.faults[1])
        gone = {fault.id for fault in self._rng.sample(here, min(excess, len(here)))}
        kept = [fault for fault in self.scenario.faults if fault.id not in gone]
        self.scenario = self.scenario.model_copy(update={"faults": with_ids([*kept, *faults], "fault")})

    def _kind(self) -> str:
        """One that may strike; no further outage when there are as many as may be."""
        kinds = kinds_of(self._swarm)
        if sum(is_outage(fault.kind) for fault in self.scenario.faults) >= OUTAGES:
            kinds = [kind for kind in kinds if not is_outage(kind)] or kinds
        return self._rng.choice(kinds)

    def _named(self, fault: Fault) -> Fault:
        return with_ids([*self.scenario.faults, fault.model_copy(update={"id": None})], "fault")[-1]

    def _new(self, kind: str, at_s: float) -> Fault:
        at_s = min(max(at_s, 0.05 * self._swarm.span), self._last_s)
        drawn = draw_fault(self._swarm, self._rng, kind, at_s, self._last_s)
        if issubclass(KINDS[kind], MasterFault):
            drawn["master"] = self._rng.choice(self._masters())
        if is_fatal(kind) and self._rng.random() < 0.2:
            del drawn["restart_after"]
            piled_on = {stream.target.node for stream in self.scenario.workload}
            names = [name for name in self.scenario.nodes() if name not in piled_on]
            drawn["select"] = {"names": names, "count": 1}
        return KINDS[kind].model_validate(drawn)

    def _at(self, fault: Fault, at_s: float) -> Fault:
        """The same fault at a time of day."""
        at_s = round(min(max(at_s, 0.05 * self._swarm.span), self._last_s), 3)
        update: dict[str, Any] = {"at": at_s, "when": None}
        if isinstance(fault, NodeFault) and fault.select.same:
            update["select"] = Select()
        return self._fitted(fault.model_copy(update=update), at_s)

    def _when(self, fault: Fault) -> Fault:
        """The same fault soon after an event that the parent's run had."""
        soon = self._soon()
        if not soon:
            return fault
        # Early ones rather: what comes late in the parent's run may not come at all in the child's.
        moment = min((self._rng.choice(soon) for _ in range(2)), key=lambda moment: moment.count)
        fault = self._after(fault, moment, self._close_s() if self._rng.random() < 0.7 else 0.0)
        if isinstance(fault, NodeFault) and not _is_for_good(fault):
            if moment.node and self._rng.random() < 0.7:
                return fault.model_copy(update={"select": Select(same=True)})
            if fault.select.same:
                return fault.model_copy(update={"select": Select()})
        return fault

    def _after(self, fault: Fault, moment: Moment, after_s: float) -> Fault:
        """The same fault so long after a moment."""
        when = When.model_validate(
            {
                "event": moment.event,
                "node": moment.node or None,
                "count": moment.count,
                "after": format_duration(round(after_s, 3)),
            }
        )
        return self._fitted(fault.model_copy(update={"at": None, "when": when}), moment.t_s + after_s)

    def _soon(self, names: Sequence[str] | None = None) -> list[Moment]:
        """The moments at which a fault may still begin; of these nodes, if any are given."""
        return [
            moment
            for moment in self._moments
            if moment.t_s < self._last_s and (names is None or moment.node in names)
        ]

    def _fitted(self, fault: Fault, begin_s: float) -> Fault:
        """Not longer than it may be from then on."""
        cls = type(fault)
        most_s = longest_s(self._swarm, fault.kind, begin_s)
        if cls.recovers:
            return _lasting(fault, most_s) if fault.lasts is not None and fault.lasts > most_s else fault
        own = cls.draw(self._rng, self._last_s - begin_s)
        if not own:
            return fault
        drawn = cls.model_validate({"kind": fault.kind, "at": "1s", **own})
        return fault.model_copy(update={key: getattr(drawn, key) for key in own})

    def _moved_here(self, fault: Fault) -> Fault:
        """A fault of the other scenario, with the nodes of this one for its own."""
        mine, theirs = list(self.scenario.nodes()), list(self._other.nodes())

        def here(name: str) -> str:
            return mine[theirs.index(name) % len(mine)] if name in theirs else mine[0]

        update: dict[str, Any] = {}
        if isinstance(fault, NodeFault) and fault.select.names:
            names = list(dict.fromkeys(map(here, fault.select.names)))
            if _is_for_good(fault):
                piled_on = {stream.target.node for stream in self.scenario.workload}
                names = [name for name in mine if name not in piled_on]
            update["select"] = fault.select.model_copy(update={"names": names})
        if isinstance(fault, MasterFault) and fault.master not in self._masters():
            update["master"] = MASTER
        if fault.when is not None:
            group = fault.when.group
            node = None if fault.when.node is None else here(fault.when.node)
            kept = group if group in self.scenario.fleet else None
            update["when"] = fault.when.model_copy(update={"node": node, "group": kept})
        return fault.model_copy(update=update)

    def _begin_s(self, fault: Fault) -> float:
        """When it strikes; of one that waits for an event, when that came in the parent's run."""
        if fault.at is not None or fault.when is None:
            return fault.at or 0.0
        when = fault.when
        for moment in self._moments:
            if (moment.event, moment.node, moment.count) == (when.event, when.node or "", when.count):
                return moment.t_s + when.after
        return 0.05 * self._swarm.span

    def _close_s(self) -> float:
        return self._log_uniform(*_CLOSE_S)

    def _log_uniform(self, low: float, high: float) -> float:
        return round(math.exp(self._rng.uniform(math.log(low), math.log(high))), 3)


MUTATIONS: dict[Callable[[Mutation], None], int] = {
    Mutation.made_small: 14,
    Mutation.smaller_fleet: 1,
    Mutation.other_work: 2,
    Mutation.other_terms: 1,
    Mutation.other_limits: 1,
    Mutation.another_network: 1,
    Mutation.other_dice: 1,
    Mutation.one_less: 1,
    Mutation.another_kind: 2,
    Mutation.one_more: 8,
    Mutation.once_again: 2,
    Mutation.again_there: 6,
    Mutation.spliced: 3,
    Mutation.as_long: 1,
    Mutation.another_victim: 1,
    Mutation.the_same_victim: 1,
    Mutation.elsewhere_in_time: 1,
    Mutation.in_another_order: 1,
    Mutation.near_another: 3,
    Mutation.at_a_state: 4,
    Mutation.in_a_row: 14,
    Mutation.other_noise: 2,
    Mutation.work_elsewhere: 1,
}
"""What can be changed, and how often it is. Those chosen are made in this order: first what there is, then
what befalls it, then when; so nothing that was brought together is torn apart at once."""


def _is_for_good(fault: Fault) -> bool:
    return type(fault).recovers and fault.lasts is None


def _lasting(fault: Fault, lasts_s: float) -> Fault:
    key = "restart_after" if "restart_after" in type(fault).model_fields else "heal_after"
    return fault.model_copy(update={key: round(max(0.1, lasts_s), 3)})


def _elsewhere(fault: Fault, others: Mapping[str, str], group: str, count: int) -> Fault:
    """The fault, with other nodes for those of a group of which only the first `count` are left."""
    update: dict[str, Any] = {}
    if isinstance(fault, NodeFault) and fault.select.names:
        names = list(dict.fromkeys(others.get(name, name) for name in fault.select.names))
        if _is_for_good(fault):
            names = [name for name in fault.select.names if name not in others] or names
        update["select"] = fault.select.model_copy(update={"names": names})
    if fault.when is not None:
        when = fault.when
        changed: dict[str, Any] = {"node": others.get(when.node or "", when.node)}
        if when.group == group:
            changed["count"] = min(when.count, count)
        update["when"] = when.model_copy(update=changed)
    return fault.model_copy(update=update)
