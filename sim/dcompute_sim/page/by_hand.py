"""Faults by hand in a run that goes on, undone by hand, and the scenario that does the same by itself.

A fault by hand takes the director's way in, so trace, receipts and checks know it as any other; its entry in
the trace is called `by-hand-1` and so on, for the run's scenario has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dcompute_sim import trace as t
from dcompute_sim.director import Director
from dcompute_sim.faults import KINDS, Fault, MasterFault, NodeFault
from dcompute_sim.faults.fault import BrokerFault, Platform
from dcompute_sim.scenario import Scenario
from dcompute_sim.scenario.semantics import complaints
from dcompute_sim.scenario.write import to_yaml
from dcompute_sim.shrink.pinning import pinned
from dcompute_sim.yamlfile.units import format_duration

_BASES = (NodeFault, BrokerFault, MasterFault)
_HEALS = ("heal_after", "restart_after")


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that was done by hand, as the scenario would have it."""

    name: str  # in this run
    fault: Fault
    node: str


def kinds() -> list[dict[str, Any]]:
    """Return every kind of fault, with the keys that are its own, as a form needs them."""
    return [
        {"kind": name, "struck": cls.struck, "words": cls.__doc__ or "", "fields": list(_fields(cls))}
        for name, cls in sorted(KINDS.items())
    ]


def _fields(cls: type[Fault]) -> Iterator[dict[str, object]]:
    common = {name for base in _BASES for name in base.model_fields} | {"kind"}
    for name, field in cls.model_fields.items():
        if name in common:
            continue
        yield {
            "name": field.alias or name,
            "description": field.description or "",
            "default": _default(field),
            "choices": [str(choice) for choice in get_args(field.annotation)]
            if get_origin(field.annotation) is Literal
            else ["false", "true"]
            if field.annotation is bool
            else None,
        }


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    default = field.default
    if isinstance(default, bool):
        return str(default).lower()
    return format_duration(default) if isinstance(default, float) else "" if default is None else str(default)


class ByHand:
    """What is done by hand to one run.

    Args:
        events: its trace, which grows.
        on_loop: calls something on the run's own thread and gives its result.
    """

    def __init__(self, director: Director, events: Sequence[t.Event]) -> None:
        self._director = director
        self._events = events
        self._struck: list[Struck] = []

    def strike(self, kind: str, node: str, keys: dict[str, str]) -> str:
        """Do a fault now; its name. To be called on the run's own thread.

        Raises:
            ValueError: it cannot be done; the message says why.
        """
        fault = self._fault(kind, node, keys)
        wrong = list(complaints(self._director.scenario.model_copy(update={"faults": [fault]})))
        if wrong:
            raise ValueError(wrong[0].message)
        self._check_possible(fault, node)
        name = self._director.strike(fault, node)
        self._struck.append(Struck(name, fault, node))
        return name

    def undo(self, name: str) -> None:
        """End one. ValueError: there is none, or it cannot be undone."""
        struck = next((it for it in self._struck if it.name == name), None)
        if struck is None:
            raise ValueError(f"no fault by hand is called {name}")
        if not struck.fault.recovers:
            raise ValueError(f"{struck.fault.kind} is over by itself, or for good")
        self._director.undo(name)

    def done(self) -> list[dict[str, object]]:
        """Return what was done so far."""
        began, ended = self._times()
        return [
            {
                "fault": it.name,
                "node": it.node,
                "t": began[it.name],
                "ended": ended.get(it.name),
                "open": it.fault.recovers and it.name not in ended,
            }
            for it in list(self._struck)
            if it.name in began
        ]

    def scenario(self) -> tuple[str, str]:
        """Return a file's name and its text: this run's scenario, everything in it explicit, with what was
        done by hand.

        The victims and moments of its own faults are those of this run, so far as it has come; what has not
        struck yet stays as it was.
        """
        scenario = self._director.scenario
        events = list(self._events)
        entries = {event.entry for event in events if isinstance(event, t.FaultInjected)}
        own = [fault.id for fault in scenario.faults if fault.id in entries]
        explicit = pinned(scenario, events, only=[entry for entry in own if entry]) if own else scenario
        began, ended = self._times()
        faults = [
            self._as_entry(it, began[it.name], ended.get(it.name)) for it in self._struck if it.name in began
        ]
        explicit = explicit.model_copy(
            update={"faults": [*explicit.faults, *faults], "name": f"{scenario.name}-by-hand"}
        )
        head = "".join(
            f"#   {began[it.name] / 1e6:.3f} s  {it.fault.kind}{f' of {it.node}' if it.node else ''}"
            + (f", until {ended[it.name] / 1e6:.3f} s" if it.name in ended else "")
            + "\n"
            for it in self._struck
            if it.name in began
        )
        text = f"# {scenario.name} with seed {scenario.seed}, and what was done to it by hand:\n{head}"
        return f"{explicit.name}.yaml", text + to_yaml(explicit)

    def _as_entry(self, struck: Struck, began_us: int, ended_us: int | None) -> Fault:
        fault = struck.fault
        update: dict[str, object] = {"at": began_us / 1e6}
        if ended_us is not None:
            heals = next((name for name in _HEALS if name in type(fault).model_fields), None)
            if heals is not None:
                update[heals] = (ended_us - began_us) / 1e6
        return fault.model_copy(update=update)

    def _times(self) -> tuple[dict[str, int], dict[str, int]]:
        names = {it.name for it in self._struck}
        began: dict[str, int] = {}
        ended: dict[str, int] = {}
        for event in list(self._events):
            if isinstance(event, t.FaultInjected) and event.fault in names:
                began[event.fault] = event.t_us
            elif isinstance(event, t.FaultEnded) and event.fault in names:
                ended[event.fault] = event.t_us
        return began, ended

    def _fault(self, kind: str, node: str, keys: dict[str, str]) -> Fault:
        cls = KINDS.get(kind)
        if cls is None:
            raise ValueError(f"no kind of fault is called {kind}")
        given: dict[str, object] = {"kind": kind, "at": "0s", "id": f"by-hand-{len(self._struck) + 1}"}
        if issubclass(cls, NodeFault) and node:
            given["select"] = {"names": [node]}
        for name, value in keys.items():
            try:
                given[name] = YAML(typ="safe").load(value)
            except YAMLError:
                raise ValueError(f"{name}: {value!r} is no value") from None
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            said = first["msg"].removeprefix("Value error, ")
            raise ValueError(f"{where}: {said}" if where else said) from None

    def _check_possible(self, fault: Fault, node: str) -> None:
        scenario: Scenario = self._director.scenario
        if not isinstance(fault, NodeFault):
            return
        if not node:
            if fault.needs_node:
                raise ValueError("choose a node first")
            return
        where = scenario.fleet[scenario.nodes()[node]].kind
        why = fault.impossible.get(Platform.SIMULATED)
        if where == "python" and why is not None:
            raise ValueError(f"{fault.kind} cannot be done to {node}: {why}")
        if where != "board":
            return
        why = fault.impossible.get(Platform.REAL_BOARD)
        if why is not None or fault.needs_hooks:
            raise ValueError(f"{fault.kind} cannot be done to a board: {why or 'it takes debug hooks'}")
