"""The verdict on a run: every expectation judged, and whether the faults really bit.

Besides what the scenario expects, four things are judged of every run, because without them "held" would
mean nothing: it ran to its end, each board took part in it, each injected fault left a receipt of its effect,
and something was expected.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter, gt

from dcompute.parts import number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.check import (
    MAX_OFFENDING,
    Check,
    CheckOutcome,
    Status,
    failed,
    held,
    inconclusive,
    named,
    of_kinds,
)
from dcompute_sim.checks.own_time import in_own_time, lags
from dcompute_sim.checks.taking_part import taking_part
from dcompute_sim.faults import kind_of

_OF_FAULTS = frozenset({t.FaultInjected, t.FaultEffect})
_CONTENT = "`witness: optional` takes a fault as it is."
EXIT_STATUS = {Status.HELD: 0, Status.FAILED: 1, Status.INCONCLUSIVE: 2}


@dataclass(frozen=True, slots=True)
class Receipt:
    """An injected fault and what it visibly did."""

    fault: t.FaultInjected
    effects: tuple[str, ...]

    @property
    def bit(self) -> bool:
        """Whether it had any effect."""
        return bool(self.effects)


@dataclass(frozen=True, slots=True)
class Result:
    """One judged expectation. `name`: the check's; `parameters`: those that differ from its defaults.
    `check`: what judged it, where the scenario expects it."""

    name: str
    description: str
    parameters: str
    outcome: CheckOutcome
    check: Check | None = None

    @property
    def label(self) -> str:
        """Show name and parameters, such as `dead_within` and what its bound is."""
        return _label(self.name, self.parameters)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run showed. One failure makes it failed; else anything undecided makes it inconclusive."""

    results: tuple[Result, ...]
    receipts: tuple[Receipt, ...]

    @property
    def status(self) -> Status:
        found = {result.outcome.status for result in self.results}
        for status in (Status.FAILED, Status.INCONCLUSIVE):
            if status in found:
                return status
        return Status.HELD

    @property
    def exit_status(self) -> int:
        """0 all held, 1 one failed, 2 inconclusive."""
        return EXIT_STATUS[self.status]

    def of(self, status: Status) -> list[Result]:
        """Return the results with this status."""
        return [result for result in self.results if result.outcome.status is status]


def judge(
    expectations: Sequence[Check],
    trace: Iterable[t.Event],
    why_nothing: str = "the scenario expects nothing: add `expect:` to it",
) -> Verdict:
    """Judge a whole trace.

    Args:
        why_nothing: what is said of a verdict without expectations.
    """
    events = trace if isinstance(trace, list) else list(trace)
    receipts = _receipts(events)
    results = [
        Result(check.name, check.describe(), _parameters(check), _outcome(check, events), check)
        for check in expectations
    ]
    kinds = {receipt.fault.kind for receipt in receipts}
    if unknown := sorted(kind for kind in kinds if kind_of(kind) is None):
        told = f"not known here is the fault {' and '.join(unknown)}: import the module that defines it"
        results.append(Result("known_faults", "Every kind of fault is known.", "", inconclusive(told)))
    results.append(Result("run_completed", "The run came to its own end.", "", _completed(events)))
    if (there := taking_part(events)) is not None:
        told = "Every board booted, stayed up and reached the broker."
        results.append(Result("boards_took_part", told, "", there))
    if raised := [event for event in events if isinstance(event, t.ProgramRaised)]:
        told = "No program of ours raises what nobody catches."
        first = raised[0]
        more = f" (and {len(raised) - 1} more)" if len(raised) > 1 else ""
        outcome = failed(f"{first.node}: {first.error} ({first.at}){more}", raised)
        results.append(Result("programs_go_on", told, "", outcome))
    if receipts:
        told = "Every injected fault had an effect."
        results.append(Result("fault_receipts", told, "", _all_bit(receipts)))
    if not expectations:
        told = "Something is expected of the run."
        results.append(Result("expectations", told, "", inconclusive(why_nothing)))
    return Verdict(tuple(results), receipts)


def _outcome(check: Check, events: list[t.Event]) -> CheckOutcome:
    """Judge by it; what is red for the testbed's own lateness only is undecided."""
    outcome = check.judge(events)
    late_us = sum(lag.lag_us for lag in lags(events)) if outcome.status is Status.FAILED else 0
    if not late_us or check.judge(in_own_time(events)).status is Status.FAILED:
        return outcome
    told = f"the testbed itself was {late_us / 1e6:.1f} s late; else: {outcome.summary}"
    return replace(outcome, status=Status.INCONCLUSIVE, summary=told)


def label_of(check: Check) -> str:
    """Return the label of the result that `check` will have."""
    return _label(check.name, _parameters(check))


def _label(name: str, parameters: str) -> str:
    return f"{name} ({parameters})" if parameters else name


def _parameters(check: Check) -> str:
    given = check.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return ", ".join(f"{key}: {_plain(value)}" for key, value in given.items())


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={_plain(inner)}" for key, inner in value.items())
    return " ".join(map(_plain, value)) if isinstance(value, (list, tuple)) else str(value)


def _receipts(events: Sequence[t.Event]) -> tuple[Receipt, ...]:
    effects: dict[str, list[str]] = {}
    faults: list[t.FaultInjected] = []
    for event in of_kinds(_OF_FAULTS, events):
        if isinstance(event, t.FaultInjected):
            faults.append(event)
        elif isinstance(event, t.FaultEffect):
            effects.setdefault(event.fault, []).append(event.effect)
    return tuple(Receipt(fault, tuple(effects.get(fault.fault, ()))) for fault in faults)


def _all_bit(receipts: Sequence[Receipt]) -> CheckOutcome:
    unseen = [receipt.fault for receipt in receipts if not receipt.bit]
    missed = [fault for fault in unseen if fault.witness != "optional"]
    injected = f"{number_of(len(receipts), 'fault')} injected"
    figures = {"injected": len(receipts), "without_effect": len(unseen), "required": len(missed)}
    if missed:
        why: dict[tuple[str, str], list[str]] = {}
        for fault in missed:
            why.setdefault(_why_unseen(fault), []).append(fault.fault)
        told = "; ".join(f"{named(names)}: {reason} ({remedy})" for (reason, remedy), names in why.items())
        told = f"{len(missed)} of {number_of(len(receipts), 'fault')} had no witness: {told}. {_CONTENT}"
        return CheckOutcome(Status.INCONCLUSIVE, told, figures, tuple(missed[:MAX_OFFENDING]))
    if unseen:
        told = f"{injected}, {len(unseen)} of them without a witness, which need none"
        return held(told, figures)
    return held(f"{injected}, each with a visible effect", figures)


def _why_unseen(fault: t.FaultInjected) -> tuple[str, str]:
    """Tell why nothing may have been seen of it, and what would have given it a witness."""
    cls = kind_of(fault.kind)
    if "until the quiet end" in fault.not_done:  # it has waited
        return fault.not_done, "an earlier moment, or fewer faults at once"
    if fault.not_done:
        return fault.not_done, "`sure: true` waits for one" if "node" in fault.not_done else "another `when`"
    return (cls.unseen, cls.remedy) if cls is not None else ("its kind is not known here", "import it")


def _completed(events: Sequence[t.Event]) -> CheckOutcome:
    if not events or not isinstance(events[0], t.RunStarted):
        return inconclusive("the trace has no beginning")
    end = events[-1]
    if not isinstance(end, t.RunEnded):
        return inconclusive("the trace has no end: the run was killed, or the file is cut")
    if end.reason != "finished":
        return inconclusive(f"the run ended by {end.reason} after {end.t_s:.1f} s")
    times_us = map(attrgetter("t_us"), events)  # without a list: a trace may be nearly all of the memory
    if any(itertools.starmap(gt, itertools.pairwise(times_us))):
        backwards = [b for a, b in itertools.pairwise(events) if b.t_us < a.t_us]
        return failed("the trace goes backwards in time: it cannot be judged", backwards)
    return held(f"{number_of(len(events), 'event')} in {end.t_s:.1f} s")
