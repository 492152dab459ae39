"""Changes of what is there before anything befalls it: nodes, their networks, their work, what is drawn."""

from __future__ import annotations

from dcompute_sim.hunt.draft import Draft, elsewhere
from dcompute_sim.scenario.fleet import node_names
from dcompute_sim.scenario.swarm import LIMITS, draw_group, draw_terms
from dcompute_sim.scenario.workload import TaskStream

_PILE = 5  # tasks
_SEEDS = 2**31


def made_small(draft: Draft) -> None:
    """Make each group that can be, and each stream of tasks, smaller."""
    for name in [name for name in draft.scenario.fleet if name not in draft.fixed]:
        _shrink_group(draft, name)
    for index, stream in enumerate(draft.scenario.workload):
        if stream.id not in draft.fixed:
            _rework(draft, index, stream, stream.tasks)


def another_network(draft: Draft) -> None:
    """Move a group nearer or further away."""
    name, group = draft.group()
    if group is not None:
        drawn = type(group).model_validate(draw_group(draft.swarm, draft.rng, group.count))
        key = draft.rng.choice(["network", "network", "keepalive", "poll", "work"])
        fleet = draft.scenario.fleet | {name: group.model_copy(update={key: getattr(drawn, key)})}
        draft.scenario = draft.scenario.model_copy(update={"fleet": fleet})


def _shrink_group(draft: Draft, name: str) -> None:
    """Leave fewer nodes in a group; what struck those strikes the others."""
    group = draft.scenario.fleet[name]
    least = max(1, draft.swarm.nodes[0] - len(draft.scenario.nodes()) + group.count)
    if least >= group.count:
        return
    count = min(draft.rng.randint(least, group.count - 1) for _ in range(2))
    nodes = node_names(name, group.count)
    others = {node: nodes[at % count] for at, node in enumerate(nodes) if at >= count}
    fleet = draft.scenario.fleet | {name: group.model_copy(update={"count": count})}
    faults = [elsewhere(fault, others, name, count) for fault in draft.scenario.faults]
    draft.scenario = draft.scenario.model_copy(update={"fleet": fleet, "faults": faults})
    draft.moments = [moment for moment in draft.moments if moment.node not in others]


def other_limits(draft: Draft) -> None:
    """Let the nodes of a group hold fewer tasks or results, or more; few rather, for only a full node acts
    otherwise."""
    name, group = draft.group()
    ranges = {limit: bounds for limit in LIMITS if (bounds := getattr(draft.swarm, limit)) is not None}
    if group is not None and ranges:
        limit = draft.rng.choice(list(ranges))
        value = round(draft.log_uniform(*ranges[limit]))
        fleet = draft.scenario.fleet | {name: group.model_copy(update={limit: value})}
        draft.scenario = draft.scenario.model_copy(update={"fleet": fleet})


def work_elsewhere(draft: Draft) -> None:
    """Let a pile of tasks come just before a fault."""
    index, stream = draft.stream()
    _, fault = draft.fault()
    if stream is not None and fault is not None and stream.target.node is not None:
        at_s = max(0.1, draft.begin_s(fault) - draft.close_s())
        streams = list(draft.scenario.workload)
        streams[index] = stream.model_copy(update={"at": round(at_s, 3)})
        draft.scenario = draft.scenario.model_copy(update={"workload": streams})


def other_work(draft: Draft) -> None:
    """Give a stream fewer tasks or more; fewer rather, for what they show is mostly the same. A pile stays
    one, or the order of what waits there would show nothing."""
    index, stream = draft.stream()
    if stream is not None:
        _rework(draft, index, stream)


def _rework(draft: Draft, index: int, stream: TaskStream, at_most: int | None = None) -> None:
    if stream.tasks is None:
        return
    fewest, most = draft.swarm.tasks
    others = sum(other.tasks or 0 for at, other in enumerate(draft.scenario.workload) if at != index)
    least = 1 if stream.target.node is None else _PILE
    low, high = max(least, fewest - others), max(least, min(most - others, at_most or most))
    streams = list(draft.scenario.workload)
    streams[index] = stream.model_copy(update={"tasks": round(draft.log_uniform(low, max(low, high)))})
    draft.scenario = draft.scenario.model_copy(update={"workload": streams})


def other_terms(draft: Draft) -> None:
    """Have the work of a stream done on other terms by an executor."""
    index, stream = draft.stream()
    if stream is not None and stream.via == "executor":
        terms = TaskStream.model_validate({"tasks": 1, **draw_terms(draft.rng)})
        update = {key: getattr(terms, key) for key in ("once", "timeout", "retries")}
        streams = list(draft.scenario.workload)
        streams[index] = stream.model_copy(update=update)
        draft.scenario = draft.scenario.model_copy(update={"workload": streams})


def other_draws(draft: Draft) -> None:
    """Draw anew all that is still drawn."""
    draft.scenario = draft.scenario.model_copy(update={"seed": draft.rng.randrange(_SEEDS)})
