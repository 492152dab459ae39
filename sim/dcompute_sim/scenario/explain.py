"""A scenario in words: who takes part, what will happen when, what must hold."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from dcompute.parts import number_of
from dcompute_sim.chips.chip_timing import UNTIMED
from dcompute_sim.faults import Fault, NodeFault
from dcompute_sim.faults.schedule import Select, When
from dcompute_sim.scenario.board_record import BoardRecord
from dcompute_sim.scenario.feasibility import warnings
from dcompute_sim.scenario.fleet import Group
from dcompute_sim.scenario.network_settings import NetworkSettings
from dcompute_sim.scenario.plan import arrivals, concretise, fault_times, phase_starts
from dcompute_sim.scenario.scenario_model import Scenario
from dcompute_sim.scenario.updates import Update
from dcompute_sim.scenario.workload import TaskStream
from dcompute_sim.yamlfile.units import (
    format_bandwidth,
    format_duration,
    format_fraction,
    format_rate,
    format_size,
)

_WIDTH = 100
_MOMENTS_SHOWN = 12


def explain(scenario: Scenario) -> str:
    """Return what will happen, in words, with the moments that the seed decides."""
    plain = concretise(scenario)
    parts = [_head(scenario, plain), _section("Who takes part", _fleet(plain))]
    if said := warnings(plain):
        parts.append(_section("Beware", said))
    if plain.workload:
        streams = (_stream(plain, index, stream) for index, stream in enumerate(plain.workload))
        parts.append(_section("Work", streams))
    parts.append(_section("What happens when", _timeline(plain)))
    if waiting := list(_waiting(plain)):
        parts.append(_section("What happens if", waiting))
    if plain.expect:
        checks = (f"{check.name}{_parameters(check)}: {check.describe()}" for check in plain.expect)
        parts.append(_section("What must hold", checks))
    else:
        parts.append("Nothing is expected: the run can only show, not judge.")
    return "\n\n".join(parts) + "\n"


def _section(title: str, lines: Iterator[str] | list[str]) -> str:
    wrapped = (
        textwrap.fill(line, _WIDTH, initial_indent="  - ", subsequent_indent="    ", break_long_words=False)
        for line in lines
    )
    return "\n".join([f"{title}:", *wrapped])


def _head(scenario: Scenario, plain: Scenario) -> str:
    count = len(plain.nodes())
    drawn = ", drawn from the seed" if scenario.random is not None else ""
    broker = plain.broker if "://" in plain.broker else f"the {plain.broker} broker"
    text = (
        f"{plain.name}: {plain.description + ' ' if plain.description else ''}"
        f"{count} node{'s' if count != 1 else ''} on {broker}{drawn}, in {plain.time} time, "
        f"for at most {format_duration(plain.length_s)}, seed {plain.seed}."
    )
    return textwrap.fill(text, _WIDTH)


# --- fleet and work ---------------------------------------------------------------------------------------


def _fleet(scenario: Scenario) -> Iterator[str]:
    for name, group in scenario.fleet.items():
        names = f"{name}-1" if group.count == 1 else f"{name}-1 to {name}-{group.count}"
        yield f"{names}: {_group(group)}; {_network(scenario.network_of(name))}"


def _group(group: Group) -> str:
    start = f"switched on at {format_duration(group.start)}"
    if group.ramp:
        start = (
            f"switched on from {format_duration(group.start)} to {format_duration(group.start + group.ramp)}"
        )
    said = [f"{group.kind} nodes" if group.count > 1 else f"a {group.kind} node", start]
    if group.variant is not None:
        said.append(f"the mutant {group.variant}")
    said.append(f"keepalive {format_duration(group.keepalive)}")
    if group.kind == "python":
        said.append(f"a task takes {_dumped(group.work)}")
        if group.fail_rate:
            said.append(f"{format_fraction(group.fail_rate)} of tasks fail")
    if group.files is not None:
        said.append(f"the program in {Path(group.files).name}/")
    if isinstance(group.profile, BoardRecord):
        said.append(f"like a measured {group.profile.machine}")
    if isinstance(group.timing, str):
        said.append(f"as slow as an {group.timing}" if group.timing != UNTIMED else "of an untimed chip")
    if group.layout == "slots":
        said.append("its program in slots, version v1")
    if group.heap is not None:
        said.append(f"{format_size(group.heap)} of heap")
    return ", ".join(said)


def _network(network: NetworkSettings) -> str:
    said = [f"{format_duration(network.latency)} away"]
    if network.jitter:
        said.append(f"{format_duration(network.jitter)} jitter")
    if network.bandwidth is not None:
        said.append(format_bandwidth(network.bandwidth))
    if network.loss:
        said.append(f"{format_fraction(network.loss)} loss")
    return ", ".join(said)


def _dumped(model: BaseModel) -> str:
    """Return a model as its file would say it, in one line."""
    return _flat(model.model_dump(exclude_defaults=True))


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_flat(entry)}" for key, entry in value.items())
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_flat(entry) for entry in value) + "]"
    return str(value)


def _parameters(model: BaseModel) -> str:
    text = _dumped(model)
    return f" ({text})" if text else ""


def _stream(scenario: Scenario, index: int, stream: TaskStream) -> str:
    start = f"{_after(stream.when)}" if stream.when else f"from {format_duration(stream.at or 0.0)}"
    until = f" until {format_duration(stream.until)}" if stream.until is not None else ""
    what = [f"{start}{until}: {_amount(scenario, index, stream)}", f"priority {_dumped(stream.priority)}"]
    if stream.payload is not None:
        what.append(f"{format_size(stream.payload)} each")
    what.append(f"to {_target(stream)}")
    what.append(
        "by `send_task`, once" if stream.via == "transport" else f"by the executor of {stream.master}"
    )
    terms = {key: getattr(stream, key) for key in ("retries", "timeout", "once")}
    what += [f"{key} {_flat(value)}" for key, value in terms.items() if value not in (None, False)]
    return ", ".join(what)


def _amount(scenario: Scenario, index: int, stream: TaskStream) -> str:
    if stream.outstanding is not None:
        most = number_of(stream.tasks, "task") if stream.tasks else "tasks"
        return f"{most}, at most {stream.outstanding} unfinished at a time"
    bounded = stream.tasks is not None or stream.until is not None
    count = sum(1 for _ in arrivals(scenario, index)) if bounded else 0
    pace = " at once"
    if stream.rate is not None:
        pace = (
            f" at {format_rate(round(stream.rate, 3))}{', at random' if stream.arrivals == 'poisson' else ''}"
        )
    elif stream.burst is not None and stream.every is not None:
        pace = f" in bursts of {stream.burst} every {format_duration(stream.every)}"
    return f"{count} task{'s' if count != 1 else ''}{pace}"


def _target(stream: TaskStream) -> str:
    target = stream.target
    if target.node is not None:
        return target.node
    who = f" of group {target.group}" if target.group is not None else ""
    return {
        "any": f"any node{who}" if stream.via == "executor" else f"a random node{who}",
        "random": f"a random node{who}",
        "least_busy": f"the least busy node{who}",
        "round_robin": f"each node{who} in turn",
        "all": f"every node{who}",
    }[target.pick]


# --- what happens -----------------------------------------------------------------------------------------


def _timeline(scenario: Scenario) -> Iterator[str]:
    moments: list[tuple[float, int, str]] = []
    for name, start in phase_starts(scenario).items():
        moments.append((start, 0, f"phase {name} begins"))
    for index, fault in enumerate(scenario.faults):
        times = fault_times(scenario, index)
        if len(times) > _MOMENTS_SHOWN:
            often = f"{number_of(len(times), 'time')} until {format_duration(times[-1])}"
            moments.append((times[0], 1, f"{_what(fault)}; {often}"))
        else:
            moments += [(moment, 1, _what(fault)) for moment in times]
    moments += [(update.at, 1, _offer(update)) for update in scenario.updates]
    moments.append((scenario.length_s, 2, "the run ends, if it has not before"))
    for moment, _, text in sorted(moments):
        yield f"{format_duration(round(moment, 3))}: {text}"


def _offer(update: Update) -> str:
    wrong = f", a broken one ({update.broken})" if update.broken else ""
    signed = "" if update.signed == "right" else ", under a wrong key"
    release = "" if update.release is None else f", release {update.release}"
    if update.broken_share < 1:
        wrong += f" on {update.broken_share:.0%} of the boards"
    waves = ""
    if (rollout := update.campaign) is not None:
        first = rollout.canaries if isinstance(rollout.canaries, int) else ", ".join(rollout.canaries)
        waves = (
            f", {first} first, then {rollout.wave:.0%} a wave, until more than "
            f"{rollout.abort:.0%} of those that took it do not run it"
        )
    return f"version {update.version}{wrong}{release}{signed} is offered to {_whom(update.select)}{waves}"


def _waiting(scenario: Scenario) -> Iterator[str]:
    for fault in scenario.faults:
        if fault.when is not None:
            times = f", for the first {fault.times} of them" if fault.times else ""
            yield f"{_after(fault.when)}{times}: {_what(fault)}"


def _after(when: When) -> str:
    """Return `3s after the 2nd task_taken of group esp`."""
    delay = f"{format_duration(when.after)} after" if when.after else "at"
    nth = "the first" if when.count == 1 else f"number {when.count} of the events"
    whom = f" of {when.node}" if when.node else (f" of group {when.group}" if when.group else "")
    fields = f" with {_flat(when.where)}" if when.where else ""
    return f"{delay} {nth} {when.event}{whom}{fields}"


def _what(fault: Fault) -> str:
    who = f" on {_whom(fault.select)}" if isinstance(fault, NodeFault) else ""
    details = fault.details()
    text = f"{fault.kind}{who} ({details})" if details else f"{fault.kind}{who}"
    if fault.lasts is not None:
        return f"{text}, for {format_duration(fault.lasts)}"
    return f"{text}, for good" if fault.recovers else text


def _whom(select: Select) -> str:
    if select.same:
        return "the node of that event"
    if select.names is not None and select.count is None and select.fraction is None:
        return ", ".join(select.names)
    status = f" {' or '.join(select.statuses)}" if select.statuses else ""
    groups = f" of {' and '.join(select.groups)}" if select.groups else ""
    among = f" among {', '.join(select.names)}" if select.names else ""
    if select.fraction is not None:
        return f"{format_fraction(select.fraction)} of the{status} nodes{groups}{among}"
    if select.count == "all":
        return f"all{status} nodes{groups}{among}"
    count = select.count or 1
    return f"{count} random{status} node{'s' if count != 1 else ''}{groups}{among}"
