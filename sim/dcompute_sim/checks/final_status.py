"""Check: at the end the master believes the truth about every node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from dcompute.parts import number_of
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive
from dcompute_sim.checks.ending import Ending, about_mute, endings, left_out
from dcompute_sim.trace import Event


class FinalStatus(Check):
    """At the end each running node is connected and the master has its own status; the others are dead.

    Of those that the master was told to forget (`forgets`) and that have not come back it has none.

    Limit: nodes silenced so shortly before the end that nobody had to notice are left out, those whose
    connection ended in the last seconds, which were on their way back, and those whose last word was on its
    way: said within a second of the end, or of a silence on the wire that went on.
    """

    name: ClassVar[str] = "final_status"
    occasion: ClassVar[str] = "nodes that start, and a run that comes to its end"

    status: str | None = Field(default=None, description="Running nodes must have this status, e.g. `ready`.")
    group: str | None = Field(default=None, description="Only nodes of this group.")

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        of_group = [ending for ending in endings(trace) if self.group in (None, ending.group)]
        judged = [ending for ending in of_group if ending.judged]
        late = left_out(of_group, judged)
        wrong = [ending.node for ending in judged if not ending.mute and not self._right(ending)]
        running = sum(ending.reachable for ending in judged)
        figures = {"nodes": len(judged), "running": running, "wrong": len(wrong)}
        if not judged:
            if of_group:
                told = f"nothing can be said of the end of {number_of(len(of_group), 'node')}"
                return inconclusive(told + late, figures)
            return inconclusive("nothing is known of any node's end", figures)
        if wrong:
            return failed(
                f"{len(wrong)} of {number_of(len(judged), 'node')} ended in a wrong status{late}",
                wrong,
                figures,
            )
        if unknown := about_mute(judged):
            return inconclusive(unknown, figures)
        told = f"{running} running and {number_of(len(judged) - running, 'dead node')}, all known as such"
        return held(told + late, figures)

    def _right(self, ending: Ending) -> bool:
        node = ending.node
        if ending.reachable and (not node.connected or self.status not in (None, node.own_status)):
            return False
        return ending.accepts(node.master_status)
