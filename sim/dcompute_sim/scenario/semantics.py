"""What a scenario may say in form and yet cannot mean: unknown groups, faults after the end, and the like."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dcompute.node_names import check_node_id
from dcompute.parts import noun, number_of
from dcompute_sim.checks import Check
from dcompute_sim.faults import KINDS, Fault, MasterFault, NodeFault
from dcompute_sim.faults.fault import Platform
from dcompute_sim.faults.schedule import EVENTS, Select, When
from dcompute_sim.scenario.fleet import FIRMWARE_ONLY, MASTER, Group, node_names
from dcompute_sim.scenario.limits import excesses
from dcompute_sim.scenario.own_config import SETTING, SETTINGS
from dcompute_sim.scenario.plan import active_until, phase_starts
from dcompute_sim.scenario.scenario_model import QUIET, Scenario
from dcompute_sim.scenario.updates import Update
from dcompute_sim.scenario.workload import TaskStream
from dcompute_sim.yamlfile.problems import (
    Complaint,
    LocatedError,
    Path,
    Problem,
    Source,
    Span,
    choice_hint,
    shown,
)
from dcompute_sim.yamlfile.units import format_duration

_INDEX = re.compile("[1-9][0-9]{0,8}")
BROKERS = ("auto", "model", "embedded", "mosquitto", "amqtt-plain")
"""Those that can be started, in real time."""
MODELLED = ("auto", "model", "embedded", "mosquitto", "emqx", "aws-iot")
"""Those whose limits and clock the model can have, in virtual time (brokers.model.profiles)."""
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_OF_ID = ("unique_id", "name")
URL_SCHEMES = ("mqtt://", "mqtts://")


def check(scenario: Scenario) -> None:
    """Check a scenario built in code as `load` checks one from a file. Raises LocatedError."""
    source = Source(f"scenario {scenario.name!r}", ())
    found = complaints(scenario)
    if found:
        raise LocatedError(
            Problem(Span(source, 1, 1), f"{_dotted(complaint.path)}: {complaint.message}", complaint.hint)
            for complaint in found
        )


def complaints(scenario: Scenario) -> list[Complaint]:
    """Return everything in `scenario` that makes no sense."""
    return [
        *_run(scenario),
        *excesses(scenario),
        *_fleet(scenario),
        *_masters(scenario),
        *_phases(scenario),
        *(c for index, stream in enumerate(scenario.workload) for c in _stream(scenario, index, stream)),
        *(c for index, fault in enumerate(scenario.faults) for c in _fault(scenario, index, fault)),
        *(c for index, update in enumerate(scenario.updates) for c in _update(scenario, index, update)),
        *(c for index, entry in enumerate(scenario.expect) for c in _expectation(scenario, index, entry)),
        *(c for section in ("workload", "faults", "updates") for c in _ids(scenario, section)),
    ]


def _run(scenario: Scenario) -> Iterator[Complaint]:
    known = dict.fromkeys((*BROKERS, *MODELLED))
    if scenario.broker not in known and not scenario.broker.startswith(URL_SCHEMES):
        hint = choice_hint(scenario.broker, (*known, "mqtt://HOST:PORT"))
        yield Complaint(("broker",), f"no broker is called {shown(scenario.broker)}", hint)
    elif scenario.time == "virtual" and scenario.broker not in MODELLED:
        message = f"{shown(scenario.broker)} runs in real time only"
        yield Complaint(("broker",), message, "add `time: real`, or use the broker `model` or `mosquitto`")
    elif scenario.time == "real" and scenario.broker in MODELLED and scenario.broker not in BROKERS:
        message = f"{shown(scenario.broker)} is modelled in virtual time only"
        yield Complaint(("broker",), message, "give the URL of one: mqtt://HOST:PORT")
    when_it_ends = "say when the run ends at the latest: `duration: 60s`"
    if scenario.duration is None and not scenario.phases and scenario.random is None:
        yield Complaint((), "`duration` is missing", when_it_ends)
    elif scenario.length_s <= 0:
        yield Complaint(("duration",), "the run is 0s long", when_it_ends)
    if not scenario.fleet and scenario.random is None:
        yield Complaint((), "`fleet` is missing", "a scenario needs nodes: `fleet: {esp: {count: 10}}`")
    if scenario.random is not None and scenario.phases:
        message = "`random` makes its own phases, storm and quiet"
        yield Complaint(("phases",), message, "leave out one of them", True)
    if scenario.random is not None:
        for index, kind in enumerate(scenario.random.kinds or ()):
            allowed = [name for name, cls in KINDS.items() if cls.drawn]
            if kind not in allowed:
                message = f"no fault called `{kind[:60]}` can be drawn"
                yield Complaint(("random", "kinds", index), message, choice_hint(kind, allowed))


def _fleet(scenario: Scenario) -> Iterator[Complaint]:
    for name, group in scenario.fleet.items():
        path = ("fleet", name)
        if group.kind == "python":
            for key in FIRMWARE_ONLY:
                if getattr(group, key) is not None:
                    message = f"`{key}` is for firmware nodes; `{name}` are python nodes"
                    yield Complaint((*path, key), message, "add `kind: firmware`, or leave it out", True)
        elif group.credit is not None:
            message = f"`credit` is for python nodes; `{name}` are {group.kind} nodes, which have their own"
            yield Complaint((*path, "credit"), message, "leave it out", True)
        if group.kind != "python" and group.files is None:
            for key, of_ours in (("will", "last will"), ("broker_at", "config.py")):
                if getattr(group, key) is not None:
                    message = f"`{key}` is for programs of somebody else; `{name}` have the {of_ours} of ours"
                    yield Complaint((*path, key), message, "leave it out, or name their `files`", True)
        if group.kind == "board" and group.broker_at is not None:
            message = "a real board finds the broker under the address that is in its program"
            yield Complaint((*path, "broker_at"), message, "leave it out, or use `kind: firmware`", True)
        if group.kind == "board" and group.stand_ins is not None:
            message = "stand-ins never get onto a board"
            yield Complaint((*path, "stand_ins"), message, "leave it out, or use `kind: firmware`", True)
        if group.kind == "board" and group.access_points is not None:
            message = "a real board hears what is on the air"
            yield Complaint((*path, "access_points"), message, "leave it out, or use `kind: firmware`", True)
        if group.layout == "slots" and group.entry is not None:
            message = "in slots it is always `main.py` that starts"
            yield Complaint((*path, "entry"), message, "leave it out, or leave out `layout`", True)
        if group.kind == "board" and scenario.time == "virtual":
            message = "real boards run in real time only"
            yield Complaint((*path, "kind"), message, "add `time: real`")
        if group.id is not None:
            yield from _id((*path, "id"), name, group, group.id)
        for key, value in (group.config or {}).items():
            for used in SETTING.findall(value) if isinstance(value, str) else ():
                if used not in SETTINGS:
                    message = f"the run has no setting called `{used[:60]}`"
                    yield Complaint((*path, "config", key), message, choice_hint(used, SETTINGS))
        if group.poll <= 0:
            yield Complaint((*path, "poll"), "`poll` must be longer than 0s", "like `poll: 100ms`")
        if not 1 <= group.keepalive <= 65535 or group.keepalive != int(group.keepalive):
            message = "MQTT counts a keepalive in whole seconds, 1s to 65535s"
            yield Complaint((*path, "keepalive"), message, "like `keepalive: 10s`")
        if group.start + group.ramp > scenario.length_s > 0:
            end = format_duration(scenario.length_s)
            message = f"the last of these nodes would start after the run's end, {end}"
            yield Complaint((*path, "ramp" if group.ramp else "start"), message, "shorten it")
        if group.variant is not None:
            yield from _variant((*path, "variant"), group, group.variant)


def _id(path: Path, name: str, group: Group, given: str) -> Iterator[Complaint]:
    """Complain unless each node of the group has an id, and one of its own."""
    for used in _PLACEHOLDER.findall(given):
        if used not in _OF_ID:
            yield Complaint(path, f"an id has no `{{{used[:60]}}}`", choice_hint(used, _OF_ID))
            return
    if group.kind == "board" and "{unique_id}" in given:
        yield Complaint(path, "what is the unique id of a real board is not known here", "say `{name}`")
    elif group.count > 1 and not _PLACEHOLDER.search(given):
        message = f"all {group.count} nodes would have the id `{given[:60]}`"
        yield Complaint(path, message, f"like `id: '{given[:40]}-{{unique_id}}'`, or `count: 1`")
    else:
        try:
            check_node_id(group.node_id(f"{name}-1"))
        except ValueError as error:
            yield Complaint(path, str(error), "like `id: '{unique_id}'`")


def _masters(scenario: Scenario) -> Iterator[Complaint]:
    for name in scenario.masters:
        if name in (MASTER, "auditor", "broker"):
            message = f"`{name}` is the name of somebody else"
            yield Complaint(("masters", name), message, "call it otherwise", True)
    for name, settings in scenario.askers().items():
        path: Path = ("master",) if name == MASTER else ("masters", name.partition(".")[0])
        if not 1 <= settings.keepalive <= 65535 or settings.keepalive != int(settings.keepalive):
            message = "MQTT counts a keepalive in whole seconds, 1s to 65535s"
            yield Complaint((*path, "keepalive"), message, "like `keepalive: 10s`")
        if settings.resend <= 0:
            yield Complaint((*path, "resend"), "`resend` must be longer than 0s", "like `resend: 15s`")


def _variant(path: Path, group: Group, name: str) -> Iterator[Complaint]:
    # Here: the classes that mutants change bring an MQTT client, which the language has no use for.
    from dcompute_sim.mutants import MutantError, check_names, check_reach
    from dcompute_sim.mutants.catalogue import FIRMWARE, FOREIGN, reaching

    kind = FOREIGN if group.kind == FIRMWARE and group.files is not None else group.kind
    try:
        check_names([name])
        check_reach([name], [kind], "this group")
    except MutantError as error:
        hint = choice_hint(name, reaching(kind)) if reaching(kind) else "leave it out"
        yield Complaint(path, str(error).partition(";")[0], hint)


def _phases(scenario: Scenario) -> Iterator[Complaint]:
    names = list(scenario.phases)
    if QUIET in names and names[-1] != QUIET:
        message = f"`{names[-1]}` comes after `quiet`, the last phase"
        yield Complaint(("phases", names[-1]), message, "put `quiet` at the end", True)
    for name, length in scenario.phases.items():
        if length <= 0:
            yield Complaint(("phases", name), "a phase must be longer than 0s", "like `storm: 30s`")
    total = sum(scenario.phases.values())
    if scenario.duration is not None and total > scenario.duration + 1e-9:
        message = f"the phases take {format_duration(total)}, longer than this"
        yield Complaint(("duration",), message, "leave `duration` out, or shorten a phase")


def _stream(scenario: Scenario, index: int, stream: TaskStream) -> Iterator[Complaint]:
    path: Path = ("workload", index)
    if stream.target.group is not None:
        yield from _groups(scenario, [stream.target.group], (*path, "target", "group"))
    if stream.target.node is not None:
        yield from _names(scenario, [stream.target.node], (*path, "target", "node"), listed=False)
    if stream.master not in (MASTER, *scenario.masters):
        hint = choice_hint(stream.master, (MASTER, *scenario.masters))
        yield Complaint((*path, "master"), f"no master is called `{stream.master[:60]}`", hint)
    if stream.when is not None:
        yield from _when(scenario, stream.when, (*path, "when"))
    yield from _in_time(scenario, path, stream.phase, "at", stream.at)
    if stream.phase is None and stream.until is not None:
        yield from _in_time(scenario, path, None, "until", stream.until)


def _fault(scenario: Scenario, index: int, fault: Fault) -> Iterator[Complaint]:
    path: Path = ("faults", index)
    yield from _in_time(scenario, path, fault.phase, "at", fault.at)
    if fault.between is not None:
        yield from _in_time(scenario, path, fault.phase, "between", fault.between[1])
    if fault.every is not None and fault.at is None:
        yield from _in_time(scenario, path, fault.phase, "every", fault.every)
    if fault.when is not None:
        yield from _when(scenario, fault.when, (*path, "when"))
    if isinstance(fault, NodeFault):
        yield from _select(scenario, fault.select, (*path, "select"))
        yield from _possible(scenario, fault, path)
    if isinstance(fault, MasterFault) and fault.master not in scenario.askers():
        hint = choice_hint(fault.master, scenario.askers())
        yield Complaint((*path, "master"), f"no master is called `{fault.master[:60]}`", hint)
    for key, message, hint in fault.senseless():
        yield Complaint((*path, key), message, hint, True)


def _possible(scenario: Scenario, fault: NodeFault, path: Path) -> Iterator[Complaint]:
    """Complain if it may strike a node to which it cannot be done."""
    chosen = set(fault.select.names or ())
    why = fault.impossible.get(Platform.SIMULATED)
    for name, group in scenario.fleet.items():
        among = fault.select.groups is None or name in fault.select.groups
        if not among or (chosen and chosen.isdisjoint(node_names(name, group.count))):
            continue
        if fault.ours_only and group.files is not None:
            message = f"`{fault.kind}` cannot be done to `{name}`: how to ask its own program, we do not know"
            yield Complaint((*path, "kind"), message, "`select` a group without `files`")
        for point in fault.access_points:
            if group.kind == "firmware" and point not in (group.access_points or ()):
                message = f"`{name}` has no access point `{point[:60]}`"
                yield Complaint(path, message, choice_hint(point, group.access_points or ()))
        if why is not None and group.kind == "python":
            message = f"`{fault.kind}` cannot be done to `{name}`: {why}"
            yield Complaint((*path, "kind"), message, "`select` a group of `kind: firmware`")


def _update(scenario: Scenario, index: int, update: Update) -> Iterator[Complaint]:
    path: Path = ("updates", index)
    yield from _in_time(scenario, path, None, "at", update.at)
    yield from _select(scenario, update.select, (*path, "select"))
    groups = update.select.groups or list(scenario.fleet)
    flat = [name for name in groups if name in scenario.fleet and scenario.fleet[name].layout != "slots"]
    if update.select.names is None and flat and (update.select.groups or len(flat) == len(groups)):
        message = f"`{flat[0]}` cannot be updated: its boards do not keep their program in slots"
        yield Complaint(path, message, "add `kind: firmware` (or `board`) and `layout: slots` to the group")
    if update.broken_share < 1 and update.broken not in ("crash", "hang", "mute"):
        message = "`broken_share` is of a version that crashes, hangs or is mute on some boards"
        yield Complaint((*path, "broken_share"), message, "add `broken: crash`, or leave it out", at_key=True)
    rollout = update.campaign
    if rollout is not None and not isinstance(rollout.canaries, int):
        for position, name in enumerate(rollout.canaries):
            if name not in scenario.nodes():
                hint = choice_hint(name, list(scenario.nodes())[:20])
                where = (*path, "campaign", "canaries", position)
                yield Complaint(where, f"no node is called `{name[:60]}`", hint)
    if rollout is not None and rollout.wave <= 0:
        yield Complaint((*path, "campaign", "wave"), "a wave of no boards", "such as `10%`")
    if update.broken == "no-wifi" and update.bundle is not None:
        message = "only our own firmware can be made to find no Wi-Fi"
        yield Complaint((*path, "broken"), message, "leave out `bundle`, or use `crash` or `hang`")


def _expectation(scenario: Scenario, index: int, entry: Check) -> Iterator[Complaint]:
    """Complain of groups and fault kinds that a check's parameters name and that do not exist."""
    path: Path = ("expect", index, entry.name)
    group: str | None = getattr(entry, "group", None)
    if group is not None:
        yield from _groups(scenario, [group], (*path, "group"))
    kinds: tuple[str, ...] = getattr(entry, "kinds", ())
    for position, kind in enumerate(kinds):
        if kind not in KINDS:
            hint = choice_hint(kind, KINDS)
            yield Complaint((*path, "kinds", position), f"no fault is called `{kind[:60]}`", hint)
    if getattr(entry, "event", "") == "pin_shown":  # or a `never` would hold of what nobody looks at
        stand_ins = [group.stand_ins for group in scenario.fleet.values() if group.stand_ins is not None]
        pins = {pin for one in stand_ins for pin in one.shown or ()}
        pin = getattr(entry, "where", {}).get("pin")
        if not pins or (pin is not None and pin not in pins):
            message = "no group shows a pin" if pin is None else f"no group shows pin {pin}"
            yield Complaint((*path, "event"), message, "give it to the group's `stand_ins: {shown: [...]}`")


def _ids(scenario: Scenario, section: str) -> Iterator[Complaint]:
    """Complain of names of entries that two of them have."""
    first: dict[str, int] = {}
    for index, entry in enumerate(getattr(scenario, section)):
        if entry.id is not None and first.setdefault(entry.id, index) != index:
            message = f"`{entry.id}` is the name of two entries, {first[entry.id]} and {index}"
            yield Complaint((section, index, "id"), message, "what is drawn for each would be the same")


def _in_time(
    scenario: Scenario, path: Path, phase: str | None, key: str, moment: float | None
) -> Iterator[Complaint]:
    """Complain unless `moment` (counted from `phase`) is in the phase, in the run, and not in its quiet
    end."""
    if phase is not None and phase not in scenario.phases:
        hint = choice_hint(phase, scenario.phases)
        yield Complaint((*path, "phase"), f"no phase is called `{phase[:60]}`", hint)
        return
    if phase == QUIET:
        message = "nothing is done in the quiet phase: in it everything must converge"
        yield Complaint((*path, "phase"), message, "choose another phase")
        return
    if moment is None:
        return
    end = scenario.phases[phase] if phase is not None else active_until(scenario)
    if moment > end and end > 0:
        if phase:
            what = f"the phase `{phase}` lasts"
        else:
            what = "the quiet phase begins at" if QUIET in phase_starts(scenario) else "the run ends at"
        yield Complaint((*path, key), f"{format_duration(moment)} is too late: {what} {format_duration(end)}")


def _select(scenario: Scenario, select: Select, path: Path) -> Iterator[Complaint]:
    if scenario.random is not None:
        return  # names and groups may be drawn ones
    before = len(scenario.fleet)
    groups = select.groups
    if groups is not None:
        yield from _groups(scenario, groups, (*path, "group"))
    if select.names is not None:
        yield from _names(scenario, select.names, (*path, "names"), listed=True)
        available = len(select.names)
    else:
        chosen = [group for name, group in scenario.fleet.items() if groups is None or name in groups]
        available = sum(group.count for group in chosen)
    if isinstance(select.count, int) and before and 0 < available < select.count:
        message = (
            f"{number_of(select.count, 'node')} {noun(select.count, 'is', 'are')} wanted, but "
            f"there {noun(available, 'is', 'are')} only {available} to choose from"
        )
        yield Complaint((*path, "count"), message, "write a smaller number, or `all`")


def _when(scenario: Scenario, when: When, path: Path) -> Iterator[Complaint]:
    event = EVENTS.get(when.event)
    if event is None:
        message = f"no event is called `{when.event[:60]}`"
        yield Complaint((*path, "event"), message, choice_hint(when.event, EVENTS))
        return
    fields = [name for name in event.__struct_fields__ if name != "t_us"]
    for key in when.where:
        if key not in fields:
            message = f"`{when.event}` has no field `{key[:60]}`"
            yield Complaint((*path, "where", key), message, choice_hint(key, fields), True)
    for key in ("node", "group"):
        if getattr(when, key) is not None and "node" not in fields:
            yield Complaint((*path, key), f"`{when.event}` is not about a node", f"leave out `{key}`", True)
            return
    if when.group is not None:
        yield from _groups(scenario, [when.group], (*path, "group"))
    if when.node is not None:
        yield from _names(scenario, [when.node], (*path, "node"), listed=False)


def _groups(scenario: Scenario, groups: list[str], path: Path) -> Iterator[Complaint]:
    for index, name in enumerate(groups):
        if name not in scenario.fleet and scenario.random is None:
            message = f"no group is called `{name[:60]}`"
            yield Complaint((*path, index), message, choice_hint(name, scenario.fleet))


def _names(scenario: Scenario, names: list[str], path: Path, *, listed: bool) -> Iterator[Complaint]:
    if scenario.random is not None:
        return
    for index, name in enumerate(names):
        group, _, number = name.rpartition("-")
        if group in scenario.fleet:
            count = scenario.fleet[group].count
            if _INDEX.fullmatch(number) and int(number) <= count:
                continue
            hint = f"`{group}` has {group}-1 to {group}-{count}"
        else:
            hint = choice_hint(name, [f"{group}-1" for group in scenario.fleet])
        yield Complaint((*path, index) if listed else path, f"no node is called `{name[:60]}`", hint)


def _dotted(path: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in path) or "scenario"
