"""Why a run failed, in a form that two runs can be compared by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from dcompute_sim.checks.check import Status
from dcompute_sim.checks.verdict import Result, Verdict
from dcompute_sim.trace import Event

_NUMBER = re.compile(r"[0-9][0-9.,]*")
_ONE = {"were": "was", "have": "has", "are": "is", "their": "its"}
"""Words that follow the number of what they are said of: `1 message was`, `2 messages were`."""
_TELLING = ("status", "own_status", "master_status", "how", "reason", "cause", "level")
"""Fields of events whose words say what kind of thing happened, whoever it happened to."""


@dataclass(frozen=True)
class Failure:
    """One expectation that did not hold.

    Attributes:
        label: of the expectation, with its parameters.
        summary: what the check said.
        reason: its words up to the first `;` (excuses follow it), without numbers and plurals.
        signs: what the events that broke it say, of each kind and telling words once.
        about: the nodes and other participants that these events are about, in their order.
        at_s: when the first of them was.
    """

    label: str
    summary: str
    reason: str
    signs: frozenset[tuple[str, ...]]
    about: Sequence[str] = field(default=(), compare=False)
    at_s: float = field(default=0.0, compare=False)

    def same_as(self, other: Failure) -> bool:
        """Say whether `other`, of a smaller run, is this failure: it shows nothing that this one did not."""
        return (self.label, self.reason) == (other.label, other.reason) and other.signs <= self.signs


def failures(verdict: Verdict) -> list[Failure]:
    """List what failed, in the order of the expectations."""
    return [_failure(result) for result in verdict.of(Status.FAILED)]


def _failure(result: Result) -> Failure:
    said = result.outcome.summary
    words = _NUMBER.sub("#", said.partition(";")[0]).split()
    reason = " ".join(_ONE.get(word, word).removesuffix("s") for word in words if word != "#")
    offending = result.outcome.offending
    named = (getattr(event, key, "") for event in offending for key in ("node", "who"))
    about = tuple(dict.fromkeys(filter(None, named)))
    at_s = offending[0].t_s if offending else 0.0
    return Failure(result.label, said, reason, frozenset(map(_sign, offending)), about, at_s)


def _sign(event: Event) -> tuple[str, ...]:
    fields = msgspec.structs.asdict(event)
    return (type(event).__name__, *(f"{key}={fields[key]}" for key in _TELLING if key in fields))
