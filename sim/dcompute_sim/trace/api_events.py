"""What the master's public API told the program above it, beside what its observer told."""

from __future__ import annotations

import msgspec

from dcompute_sim.trace.event import Event


class TaskAsked(Event, frozen=True):
    """The scenario asks for a task. `answer`: digest of what it is to be answered with, known beforehand;
    `declared`: by the scenario itself, for programs that are not ours. `asker`: the executor that is to have
    it done, "" for the bare transport; `node` and `group`: where it has to run, "" for anywhere. `ends`: the
    outcomes other than a result that it may have by its own terms."""

    task: str
    answer: str
    declared: bool = False
    asker: str = ""
    priority: int = 5
    once: bool = False
    node: str = ""
    group: str = ""
    ends: list[str] = msgspec.field(default_factory=list)


class TaskSettled(Event, frozen=True):
    """The future of a task is done. `outcome`: a word of dcompute.executor.model.Outcome, or `forgotten`: the
    journal that had it is lost."""

    asker: str
    task: str
    outcome: str
    node: str = ""


class DeathsCalledBack(Event, frozen=True):
    """The dead-nodes callback was called with these names."""

    nodes: list[str]


class DeadNodesTaken(Event, frozen=True):
    """`get_dead_nodes(disposable=True)` gave these; `left`: what it still had just after."""

    nodes: list[str]
    left: list[str]


class NodeForgotten(Event, frozen=True):
    """The program had the master forget this node, which was dead (`forget_node`)."""

    node: str


class ResultTaken(Event, frozen=True):
    """`get_results(disposable=True)` gave this one, or the future of an executor (`asker`) has it. `answer`:
    digest of the answer in it, `value` of all of it; `ok`: it says that the task succeeded. `why`: what a
    future of an executor says of how it failed, `traced` the last line of the traceback that it has."""

    node: str
    task: str
    answer: str
    value: str
    ok: bool = True
    attempt: int = 1
    asker: str = ""
    why: str = ""
    traced: str = ""


class ResultsLeft(Event, frozen=True):
    """`get_results` still had these just after they were taken, or gave a node's otherwise than a moment
    before."""

    count: int
    differing: list[str]


class MasterPolled(Event, frozen=True):
    """The master is not connected, or says that something is wrong."""

    connected: bool
    last_error: str


class MasterAnswered(Event, frozen=True):
    """At the end: `get_node_info` of a node, and whether `get_nodes_by_status` has it there. `shared`: what a
    caller did to an earlier answer shows in this one. `sends`: `send_task` took a task for a node that is
    gone."""

    node: str
    status: str
    inc: str = ""
    listed: bool = True
    shared: bool = False
    sends: bool = False


class MasterCounted(Event, frozen=True):
    """At the end: the master's counters."""

    values: dict[str, int]
