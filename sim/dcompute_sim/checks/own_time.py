"""What the testbed's own lateness explains: nothing for good, but nothing that is red either.

On a machine with too much to do a node's ping, a proxy's bytes and the master's reading wait for their turn
in the testbed's loop, and a promise about seconds turns red through nobody's fault. Rules:

1. In real time the loop tells when it had no turn (`loop_lagged`). Nothing that it serves was done meanwhile:
   for it, that time did not pass.
2. What is red is judged once more over the same events in the testbed's own time, out of which such
   standstills are cut. Red there, too, is red: nothing but the lag that really lay in between excuses. Else
   nobody can know, and it is undecided, with how late the testbed was.
3. What is held is held: lag makes nothing come sooner.

Rejected: bounds wider by the lag of a run. A second here and there in an hour would excuse any death that is
reported a minute late. Limit: of other processes (the broker, emulated boards) only that lag is known which
they share with the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from dcompute_sim import trace as t
from dcompute_sim.checks.check import of_kinds


@dataclass(frozen=True, slots=True)
class Lag:
    """A standstill of the loop."""

    since_us: int
    until_us: int

    @property
    def lag_us(self) -> int:
        return self.until_us - self.since_us


def lags(trace: Sequence[t.Event]) -> list[Lag]:
    """Return every time that the testbed was late, in order."""
    return [
        Lag(event.t_us - event.lag_us, event.t_us)
        for event in of_kinds({t.LoopLagged}, trace)
        if isinstance(event, t.LoopLagged)
    ]


def in_own_time(trace: Sequence[t.Event]) -> list[t.Event]:
    """Return the same events as if the loop had never stood still, at the times that they would have then."""
    ahead = lags(trace)[::-1]
    cut_us = 0
    moved: list[t.Event] = []
    for event in trace:
        if isinstance(event, t.LoopLagged):
            continue
        while ahead and ahead[-1].until_us <= event.t_us:
            cut_us += ahead.pop().lag_us
        # Within a standstill: of the very turn that took so long, or of the one that ended it.
        within_us = max(0, event.t_us - ahead[-1].since_us) if ahead else 0
        moved.append(msgspec.structs.replace(event, t_us=event.t_us - cut_us - within_us))
    return moved
