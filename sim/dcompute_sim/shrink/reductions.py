"""What can be taken from a scenario, the most promising first.

Each reduction is a coroutine: it yields alternatives, of which the first that still fails is wanted, and is
sent that one, or None when none did.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from dcompute_sim.faults import Fault, MasterFault, NodeFault
from dcompute_sim.faults.schedule import Select
from dcompute_sim.scenario import Scenario
from dcompute_sim.scenario.fleet import Group, node_names
from dcompute_sim.scenario.network_settings import NetworkSettings, OwnNetwork
from dcompute_sim.scenario.scenario_model import QUIET
from dcompute_sim.scenario.workload import TaskStream

Reduction = Generator[list[Scenario], Scenario | None, None]
Reduce = Callable[[Scenario], Reduction]
E = TypeVar("E")
_CLEAN_LATENCY_S = 0.002
_GROUP_SETTINGS = ("network", "work", "fail_rate", "ramp", "start", "poll", "queue_limit", "hold_limit")
_STREAM_SETTINGS = ("payload", "priority", "arrivals")
_NEAR = 3  # faults
_ROUNDED_S = (1.0, 0.1, 0.01)


@dataclass(frozen=True)
class Dice:
    """Under how many seeds a candidate is tried; it counts if it fails under any of them.

    Attributes:
        most: where loss or jitter are left, so that chance decides what a change does to a run.
        always: where they are not as well: pauses before the next attempt to connect are drawn too.
    """

    most: int
    always: bool = False

    def of(self, candidate: Scenario) -> int:
        """Say how many of them are thrown for this candidate."""
        return self.most if self.always or matter_of_chance(candidate) else 1


ONE, FEW, MANY, MANY_ALWAYS = Dice(1), Dice(2), Dice(5), Dice(5, always=True)


def in_order(about: Sequence[str], at_s: float) -> list[tuple[Reduce, Dice]]:
    """List the reductions, in the order in which they pay, and how hard each is tried.

    Faults go first, for each of them moves what comes after it: first those that by the trace are not to
    blame, then ever smaller parts under few dice, for a candidate in vain takes all of them; and those left
    once more, under many. What only makes plainer or shorter what stays gains least, and costs most in vain.

    Args:
        about: the participants that the failure is about.
        at_s: when it shows.
    """
    return [
        (clean_network, MANY),
        (only_about(about), MANY),
        (only_near(at_s), ONE),
        (fewer_faults, FEW),
        (fewer_victims, FEW),
        (fewer_nodes, MANY),
        (fewer_streams, FEW),
        (fewer_masters, FEW),
        (fewer_updates, FEW),
        (fewer_tasks, FEW),
        (clean_network, FEW),
        (plain_groups, FEW),
        (fewer_of_several, MANY_ALWAYS),
        (fewer_nodes, MANY),
        (plain_streams, FEW),
        (shorter_faults, FEW),
        (rounder_moments, FEW),
        (shorter_run, FEW),
    ]


# --- lists ------------------------------------------------------------------------------------------------


def _fewer(scenario: Scenario, section: str, most: int | None = None) -> Reduction:
    """Take away all, or so many, then ever smaller parts of a list, until no entry can go."""

    def without(start: int, size: int) -> Scenario:
        entries = getattr(scenario, section)
        return scenario.model_copy(update={section: [*entries[:start], *entries[start + size :]]})

    size = most or len(getattr(scenario, section))
    while size:
        start, removed = 0, False
        while start < len(getattr(scenario, section)):
            smaller = yield [without(start, size)]
            if smaller is None:
                start += size
            else:
                scenario, removed = smaller, True
        if size == 1 and not removed:
            return
        size = max(1, size // 2) if size > 1 else (1 if removed else 0)


def fewer_faults(scenario: Scenario) -> Reduction:
    """Take faults away."""
    return _fewer(scenario, "faults")


def fewer_of_several(scenario: Scenario) -> Reduction:
    """Take away what can go of more than one fault. Of one, another draw would say no more."""
    if len(scenario.faults) > 1:
        yield from _fewer(scenario, "faults", most=1)


def only_about(participants: Sequence[str]) -> Reduce:
    """Leave only what strikes the first of these, or any of them, or was one of them, and what strikes no
    single node: of a swarm's faults that is mostly all that matters, told by one run instead of dozens."""

    def faults_about_it(scenario: Scenario) -> Reduction:
        smaller = []
        for some in (participants[:1], participants):
            faults = []
            for fault in scenario.faults:
                was_one = any(name.startswith(fault.id or "-") for name in some)
                names = [name for name in _victims(fault) if name in some]
                if names:
                    faults.append(fault.model_copy(update={"select": Select(names=names)}))
                elif was_one or not isinstance(fault, NodeFault):
                    faults.append(fault)
            if faults != scenario.faults and faults not in smaller:
                smaller.append(faults)
        yield [scenario.model_copy(update={"faults": faults}) for faults in smaller if participants]

    return faults_about_it


def only_near(at_s: float) -> Reduce:
    """Leave only the one, two or three faults that struck next to the moment at which the failure shows: what
    led to it came just before, or struck a task just after it was sent."""

    def faults_near_it(scenario: Scenario) -> Reduction:
        nearest = sorted(scenario.faults, key=lambda fault: abs((fault.at or 0.0) - at_s))
        few = [nearest[:count] for count in range(1, min(_NEAR, len(nearest) - 1) + 1)]
        yield [
            scenario.model_copy(update={"faults": [fault for fault in scenario.faults if fault in near]})
            for near in few
        ]

    return faults_near_it


def fewer_victims(scenario: Scenario) -> Reduction:
    """Let a fault hit one of its nodes, or half of them."""
    for index, fault in enumerate(scenario.faults):
        names = list(_victims(fault))
        while len(names) > 1:
            half = len(names) // 2
            fewer = (
                [names[:1], names[-1:], names[:half], names[half:]] if half > 1 else [names[:1], names[1:]]
            )
            chosen = yield [
                _with_fault(scenario, index, {"select": Select(names=list(some))}) for some in fewer
            ]
            if chosen is None:
                break
            scenario = chosen
            names = list(_victims(scenario.faults[index]))


def fewer_streams(scenario: Scenario) -> Reduction:
    """Take streams of tasks away."""
    return _fewer(scenario, "workload")


def fewer_masters(scenario: Scenario) -> Reduction:
    """Take away the masters for whom nothing is left to do."""
    named = {stream.master for stream in scenario.workload}
    named |= {fault.master for fault in scenario.faults if isinstance(fault, MasterFault)}
    masters = {name: master for name, master in scenario.masters.items() if name in named}
    if masters != scenario.masters:
        yield [scenario.model_copy(update={"masters": masters})]


def fewer_updates(scenario: Scenario) -> Reduction:
    """Take updates away."""
    return _fewer(scenario, "updates")


def fewer_tasks(scenario: Scenario) -> Reduction:
    """Let streams have one task, or a few."""
    for index, stream in enumerate(scenario.workload):
        most = stream.tasks or 0
        few = [count for count in (1, 2, 4, most // 8, most // 2) if 0 < count < most]
        chosen = yield [_with_stream(scenario, index, {"tasks": count}) for count in dict.fromkeys(few)]
        scenario = chosen or scenario


def plain_streams(scenario: Scenario) -> Reduction:
    """Let streams be as they are by default."""
    for index, stream in enumerate(scenario.workload):
        update = _defaults(stream, _STREAM_SETTINGS)
        if update:
            chosen = yield [_with_stream(scenario, index, update)]
            scenario = chosen or scenario


# --- fleet ------------------------------------------------------------------------------------------------


def fewer_nodes(scenario: Scenario) -> Reduction:
    """Keep only the nodes that faults and streams name, or one more, as the lowest of their groups."""
    chosen = yield list(_small_fleets(scenario))
    scenario = chosen or scenario
    for name in list(scenario.fleet):
        while (group := scenario.fleet.get(name)) is not None:
            keep = {group_name: g.count for group_name, g in scenario.fleet.items()}
            fewer = [count for count in (0, 1, group.count // 2, group.count - 1) if 0 <= count < group.count]
            options = [_with_counts(scenario, keep | {name: count}) for count in dict.fromkeys(fewer)]
            chosen = yield [option for option in options if option is not None]
            if chosen is None:
                break
            scenario = chosen


def _small_fleets(scenario: Scenario) -> Iterator[Scenario]:
    used = _used(scenario)
    group_of = scenario.nodes()
    named = {name: sum(group_of.get(node) == name for node in used) for name in scenario.fleet}
    if sum(named.values()):
        for extra in (0, 1, 2):
            one_more = {name: count + extra for name, count in named.items() if count}
            whole = {name: min(count, scenario.fleet[name].count) for name, count in one_more.items()}
            small = _with_counts(scenario, {**dict.fromkeys(scenario.fleet, 0), **whole})
            if small is not None and len(small.nodes()) < len(group_of):
                yield small
    for name, count in itertools.product(scenario.fleet, (1, 2)):
        small = _with_counts(scenario, {**dict.fromkeys(scenario.fleet, 0), name: count})
        if small is not None and len(small.nodes()) < len(group_of):
            yield small


def _used(scenario: Scenario) -> list[str]:
    """List nodes that are named, each once, in the order of the fleet."""
    names = {node for fault in scenario.faults for node in _victims(fault)}
    names |= {stream.target.node for stream in scenario.workload if stream.target.node is not None}
    return [node for node in scenario.nodes() if node in names]


def _victims(fault: Fault) -> Sequence[str]:
    return fault.select.names or () if isinstance(fault, NodeFault) else ()


def _with_counts(scenario: Scenario, counts: dict[str, int]) -> Scenario | None:
    """Return the scenario with so many nodes of each group, the named ones first among them and called anew;
    None if that many are needed that are named."""
    used = _used(scenario)
    renamed: dict[str, str] = {}
    fleet: dict[str, Group] = {}
    for name, group in scenario.fleet.items():
        count = counts.get(name, 0)
        of_group = [node for node in used if scenario.nodes()[node] == name]
        if len(of_group) > count:
            return None
        if count:
            fleet[name] = group.model_copy(update={"count": count})
            renamed |= zip(of_group, node_names(name, count), strict=False)
    if not fleet:
        return None
    faults = []
    for fault in scenario.faults:
        if isinstance(fault, NodeFault) and fault.select.names:
            names = [renamed[name] for name in fault.select.names if name in renamed]
            fault = fault.model_copy(update={"select": fault.select.model_copy(update={"names": names})})
        faults.append(fault)
    streams = []
    for stream in scenario.workload:
        if stream.target.node is not None:
            target = stream.target.model_copy(update={"node": renamed.get(stream.target.node)})
            stream = stream.model_copy(update={"target": target})
        streams.append(stream)
    return scenario.model_copy(update={"fleet": fleet, "faults": faults, "workload": streams})


def plain_groups(scenario: Scenario) -> Reduction:
    """Let groups be as they are by default: all of their settings at once, else one by one."""
    for name in list(scenario.fleet):
        whole = _defaults(scenario.fleet[name], _GROUP_SETTINGS)
        if not whole:
            continue
        chosen = yield [_with_group(scenario, name, whole)]
        if chosen is not None:
            scenario = chosen
            continue
        for key, value in whole.items():
            chosen = yield [_with_group(scenario, name, {key: value})]
            scenario = chosen or scenario


def clean_network(scenario: Scenario) -> Reduction:
    """Offer links that lose nothing, have no jitter and are short: what is left does not hang on chance."""
    clean = {"network": NetworkSettings(), "fleet": {n: g.model_copy(update={"network": OwnNetwork()})
             for n, g in scenario.fleet.items()}}  # fmt: skip
    calm = {"network": scenario.network.model_copy(update={"loss": 0.0, "jitter": 0.0}),
            "fleet": {n: _calm(g) for n, g in scenario.fleet.items()}}  # fmt: skip
    yield [option for option in (scenario.model_copy(update=u) for u in (clean, calm)) if option != scenario]


def _calm(group: Group) -> Group:
    own = {key: 0.0 for key in ("loss", "jitter") if getattr(group.network, key)}
    return group.model_copy(update={"network": group.network.model_copy(update=own)})


def matter_of_chance(scenario: Scenario) -> bool:
    """Say whether loss or jitter are left."""
    networks = [scenario.network_of(name) for name in scenario.fleet]
    slow = any(getattr(fault, "jitter", None) for fault in scenario.faults)
    return slow or any(network.loss or network.jitter for network in networks)


# --- time -------------------------------------------------------------------------------------------------


def shorter_faults(scenario: Scenario) -> Reduction:
    """Let faults last a second, or half as long; and be at their moment, not when they can."""
    for index, fault in enumerate(scenario.faults):
        options: list[dict[str, object]] = [{"sure": False}] if fault.sure else []
        for key in ("heal_after", "restart_after"):
            lasts = getattr(fault, key, None)
            if lasts is not None:
                options += [{key: s} for s in (1.0, float(round(lasts / 2))) if 0 < s < lasts]
        for update in options:
            chosen = yield [_with_fault(scenario, index, update)]
            scenario = chosen or scenario


def rounder_moments(scenario: Scenario) -> Reduction:
    """Write moments and durations in round numbers."""
    options = []
    for step in _ROUNDED_S:
        faults = [fault.model_copy(update=_rounded(fault, step)) for fault in scenario.faults]
        streams = [stream.model_copy(update=_rounded(stream, step)) for stream in scenario.workload]
        options.append(scenario.model_copy(update={"faults": faults, "workload": streams}))
    yield [option for option in options if option != scenario]


def _rounded(entry: Fault | TaskStream, step: float) -> dict[str, float]:
    keys = ("at", "heal_after", "restart_after", "until")
    values = {key: getattr(entry, key, None) for key in keys}
    return {key: max(step, round(round(v / step) * step, 6)) for key, v in values.items() if v}


def shorter_run(scenario: Scenario) -> Reduction:
    """End soon after the last thing that is done. The quiet time after it stays as long as it was."""
    last_s = _last_s(scenario)
    quiet_s = scenario.phases.get(QUIET, 0.0) or max(0.0, scenario.length_s - last_s)
    for busy_s in (float(round(last_s + 1)), float(round(last_s + 10))):
        if busy_s + quiet_s < scenario.length_s:
            phases = {"storm": busy_s, QUIET: quiet_s} if scenario.phases else {}
            chosen = yield [scenario.model_copy(update={"duration": busy_s + quiet_s, "phases": phases})]
            if chosen is not None:
                return


def _last_s(scenario: Scenario) -> float:
    """Return when the last thing is done, at the latest."""
    ends = [group.start + group.ramp for group in scenario.fleet.values()]
    ends += [(fault.until or fault.at or 0.0) + (fault.lasts or 0.0) for fault in scenario.faults]
    ends += [_stream_end_s(scenario, stream) for stream in scenario.workload]
    return max(ends, default=0.0)


def _stream_end_s(scenario: Scenario, stream: TaskStream) -> float:
    begin_s = stream.at or 0.0
    end_s = stream.until if stream.until is not None else scenario.length_s
    if stream.tasks is not None and stream.rate:
        return min(end_s, begin_s + stream.tasks / stream.rate)
    return begin_s if stream.tasks is not None and stream.outstanding is None and not stream.every else end_s


# --- one entry --------------------------------------------------------------------------------------------


def _defaults(model: Group | TaskStream, keys: Sequence[str]) -> dict[str, object]:
    """Return the settings that are not as by default, and how they are then."""
    fields = type(model).model_fields
    found = {key: fields[key].get_default(call_default_factory=True) for key in keys}
    return {key: value for key, value in found.items() if getattr(model, key) != value}


def _with_group(scenario: Scenario, name: str, update: dict[str, object]) -> Scenario:
    fleet = scenario.fleet | {name: scenario.fleet[name].model_copy(update=update)}
    return scenario.model_copy(update={"fleet": fleet})


def _with_stream(scenario: Scenario, index: int, update: dict[str, object]) -> Scenario:
    return scenario.model_copy(update={"workload": _changed(scenario.workload, index, update)})


def _with_fault(scenario: Scenario, index: int, update: dict[str, object]) -> Scenario:
    return scenario.model_copy(update={"faults": _changed(scenario.faults, index, update)})


def _changed(entries: Sequence[Any], index: int, update: dict[str, Any]) -> list[Any]:
    return [entry.model_copy(update=update) if i == index else entry for i, entry in enumerate(entries)]
