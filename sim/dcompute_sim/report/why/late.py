"""Why tasks are late: where their time went, on which nodes, and what was on there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from dcompute_sim import trace as t
from dcompute_sim.checks.check import Measurement
from dcompute_sim.checks.history import history_of
from dcompute_sim.checks.tasks import Task, tasks
from dcompute_sim.checks.verdict import Result
from dcompute_sim.report.text import plural, seconds

_STAGES = (
    "until they were sent for the last time",
    "on the way to the node",
    "in the node's queue",
    "at work",
    "on the way back",
)


def late(events: Sequence[t.Event], result: Result) -> list[str]:
    """Return where the late ones spent most of their time, whose they are, and which faults were on
    meanwhile."""
    (measured,) = result.outcome.distributions or (Measurement("", "s", ()),)
    bound_s = measured.bound
    over = [
        (task, (task.results[0].t_us - task.sent[0].t_us) / 1e6)
        for task in tasks(events).values()
        if task.sent and task.results
    ]
    over = [(task, took_s) for task, took_s in over if bound_s is None or took_s > bound_s]
    if not over:
        return []
    told = [_stages(over)]
    again = sum(len(task.sent) > 1 for task, _ in over)
    if again:
        told.append(f"{again:,} of them had to be sent again: their node died, left or refused them")
    by_node = Counter(task.results[0].node for task, _ in over)
    told.append(_whose(events, over, by_node))
    return told


def _stages(over: Sequence[tuple[Task, float]]) -> str:
    """Return the fewest stages that took most of their time: of all tasks together, for the median of a stage
    that only some went through is nothing."""
    spent_us = [0] * len(_STAGES)
    for task, _ in over:
        moments = [task.sent[0].t_us, task.sent[-1].t_us]
        for found in (task.received, task.taken, task.finished, task.results):
            moments.append(found[-1].t_us if found else moments[-1])
        for stage, (start, end) in enumerate(pairwise(moments)):
            spent_us[stage] += max(0, end - start)
    worst: list[int] = []
    for stage in sorted(range(len(_STAGES)), key=lambda stage: -spent_us[stage]):
        if 2 * sum(spent_us[at] for at in worst) <= sum(spent_us):
            worst.append(stage)
    where = " and ".join(_STAGES[stage] for stage in sorted(worst))
    share = sum(spent_us[stage] for stage in worst) / max(1, sum(spent_us))
    median_s = seconds(median(took_s for _, took_s in over))
    return (
        f"{plural(len(over), 'task')} took longer: most of it {where} "
        f"({share:.0%} of all their time; the median took {median_s})"
    )


def _whose(events: Sequence[t.Event], over: Sequence[tuple[Task, float]], by_node: Counter[str]) -> str:
    node, count = by_node.most_common(1)[0]
    whose = "all" if len(by_node) == 1 else f"{count:,} of them"
    spans = [(task.sent[0].t_us, task.results[0].t_us) for task, _ in over if task.results[0].node == node]
    history = history_of(events)
    on: Counter[str] = Counter()
    for fault in history.faults.values():
        if fault.node not in ("", node):
            continue
        end_us = fault.ended_us if fault.ended_us is not None else history.end_us
        hit = sum(fault.start_us <= last and first <= end_us for first, last in spans)
        if hit:
            on[f"{fault.event.fault} ({seconds(fault.start_us / 1e6)} to {seconds(end_us / 1e6)})"] += hit
    if not on:
        return f"{whose} on {node}, where no fault was on"
    names = ", ".join(f"{name} met {hit:,}" for name, hit in on.most_common(3))
    return f"{whose} on {node}: {names}"
