"""Check: nodes do not come back as a herd, nor fight over the broker."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from dcompute.parts import number_of
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive
from dcompute_sim.trace import Event, NodeDefined, Participants, WireOpened
from dcompute_sim.yamlfile.units import Duration


class ConnectionRate(Check):
    """The broker never gets more than `limit` connections of nodes `within` such a time.

    A fleet that lost its broker must spread its return, and two nodes with one id must not throw each other
    out without pause. Limit: attempts that did not reach a broker are not counted.
    """

    name: ClassVar[str] = "connection_rate"
    occasion: ClassVar[str] = "nodes that reach the broker"

    limit: int = Field(ge=1, description="Connections, of all nodes and their clones together.")
    within: Duration = Field(default=1.0, description="In any stretch of time this long.")

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        nodes: set[str] = set()
        who = Participants(trace)
        recent: deque[WireOpened] = deque()
        above: list[Event] = []
        total = peak = 0
        for event in trace:
            match event:
                case NodeDefined(node=node):
                    nodes.add(node)
                case WireOpened(node=node) if who.owner(node) in nodes:
                    total += 1
                    recent.append(event)
                    while event.t_us - recent[0].t_us > self.within * 1e6:
                        recent.popleft()
                    peak = max(peak, len(recent))
                    if len(recent) > self.limit:
                        above.append(event)
        figures = {"connections": total, "peak": peak, "limit": self.limit}
        told = (
            f"at most {peak} of {number_of(total, 'connection')} within {self.within:g} s "
            f"({self.limit} allowed)"
        )
        if not total:
            return inconclusive("no node reached the broker", figures)
        return failed(told, above, figures) if above else held(told, figures)
