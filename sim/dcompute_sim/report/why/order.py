"""Why tasks were taken out of order: on which nodes, and what waited there meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from dcompute_sim import trace as t
from dcompute_sim.checks.verdict import Result
from dcompute_sim.report.text import seconds

_NODES = 3  # told of


def order(events: Sequence[t.Event], result: Result) -> list[str]:
    """Return the first task of each node that was taken while another had to come first."""
    told: dict[str, str] = {}
    for waited, taken in pairwise(result.outcome.offending):
        if not isinstance(waited, t.TaskReceived) or not isinstance(taken, t.TaskTaken):
            continue
        told.setdefault(
            taken.node,
            f"{taken.node} took {taken.task} (priority {taken.priority}) at {seconds(taken.t_s)} while "
            f"{waited.task} (priority {waited.priority}) waited there since {seconds(waited.t_s)}",
        )
    return list(told.values())[:_NODES]
