"""What a ledger found broken: of which kinds, how often, and the events that show it."""

from __future__ import annotations

from collections import Counter

from dcompute_sim import trace as t
from dcompute_sim.checks.check import CheckOutcome, failed


class Breaches:
    """Collects what is wrong, for a check that holds events against what it wrote down before."""

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._events: list[t.Event] = []

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def add(self, what: str, event: t.Event) -> None:
        """Add an event that breaks the property; `what` is the kind of breach, in words that several
        share."""
        self._kinds[what] += 1
        self._events.append(event)

    def outcome(self, told: str, figures: dict[str, float | int | str]) -> CheckOutcome:
        """Return a failure that tells of all kinds, after `told`. `figures`: what else was counted."""
        kinds = sorted(self._kinds.items())
        figures |= {f"wrong: {what}": count for what, count in kinds}
        in_order = sorted(self._events, key=lambda event: event.t_us)  # some are found later than they were
        return failed(told + "; ".join(f"{what} ({n})" for what, n in kinds), in_order, figures)
