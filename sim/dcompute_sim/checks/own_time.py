"""What the testbed's own lateness explains: nothing for good, but nothing that is red either.

On a machine with too much to do a node's ping, a proxy's bytes and the master's reading wait for their turn
in the testbed's loop, or in the broker's process, and a promise about seconds turns red through nobody's
fault. Rules:

1. In real time it is told when the loop had no turn (`loop_lagged`), and when the process of a broker of ours
   wanted a processor and had none (`broker_lagged`). Nothing that it serves was done meanwhile: for it, that
   time did not pass. What both missed passed once.
2. What is red is judged once more over the same events in the testbed's own time, out of which such
   standstills are cut. Red there, too, is red: nothing but the lag that really lay in between excuses. Else
   nobody can know, and it is undecided, with how late the testbed was.
3. What is held is held: lag makes nothing come sooner.

Rejected: bounds wider by the lag of a run. A second here and there in an hour would excuse any death that is
reported a minute late. And a broker's round trip, timed by a client beside: a slow answer says nothing of
whose fault it is, so that a broker which is slow by itself, or hangs, would be excused; who wants a processor
and has none is the kernel's word. Limit: of other processes (brokers of others, emulated boards) only that
lag is known which they share with the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from dcompute_sim import trace as t
from dcompute_sim.checks.check import of_kinds

_LAGGED = frozenset({t.LoopLagged, t.BrokerLagged})


@dataclass(frozen=True, slots=True)
class Lag:
    """A standstill of the loop, or of the broker."""

    since_us: int
    until_us: int

    @property
    def lag_us(self) -> int:
        return self.until_us - self.since_us


def lags(trace: Sequence[t.Event]) -> list[Lag]:
    """Return every time that the testbed was late, in order; none is in two of them."""
    found: list[Lag] = []
    for event in of_kinds(_LAGGED, trace):
        assert isinstance(event, t.LoopLagged | t.BrokerLagged)
        since_us = event.t_us - event.lag_us
        while found and found[-1].until_us >= since_us:
            since_us = min(since_us, found.pop().since_us)
        found.append(Lag(since_us, event.t_us))
    return found


def in_own_time(trace: Sequence[t.Event]) -> list[t.Event]:
    """Return the same events as if the loop had never stood still, at the times that they would have then."""
    ahead = lags(trace)[::-1]
    cut_us = 0
    moved: list[t.Event] = []
    for event in trace:
        if isinstance(event, t.LoopLagged | t.BrokerLagged):
            continue
        while ahead and ahead[-1].until_us <= event.t_us:
            cut_us += ahead.pop().lag_us
        # Within a standstill: of the very turn that took so long, or of the one that ended it.
        within_us = max(0, event.t_us - ahead[-1].since_us) if ahead else 0
        moved.append(msgspec.structs.replace(event, t_us=event.t_us - cut_us - within_us))
    return moved
