"""Who was in what state when: the one replayer of traces, for checks, reports and `dcompute at`.

Rules:

1. Events are taken in as they stand in the trace; the state is what holds after the last one.
2. What a node's program knows of its link (`link`, `inc`) and what the wire shows (`conn`, `stalled`) are
   kept apart: between the two lies what a fault does.
3. What is said of an older incarnation changes nothing of a newer one.
4. A hang stops nothing: the program and its connection are still there, and may go on.
5. A new start has nothing of the life before: no connection, no task waiting or at work. What the master
   believes and which faults are going on is not the node's, and stays.
6. A task that is received twice (a redelivery at QoS 1) waits twice; a take ends the older wait of its
   attempt. What is dropped for want of room, or withdrawn, is the newest of its
   id.

Why each check has a replay of its own instead of one pass that calls them all: a check looks at the state
before some events and after others (what was overdue *until* the broker went), so it has to say when an event
is taken in, and which: most of a trace is nothing to any one check. Whoever only needs spans of a whole run
reads `checks.history`, which is made of these.

Not here is what only one check asks (which statuses were repaired, which callbacks are due): that is its
rule, and no state of the run.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Literal

from dcompute_sim.trace.event import Event
from dcompute_sim.trace.fault_events import (
    BrokerStarted,
    BrokerStopped,
    FaultEnded,
    FaultInjected,
    WireOpened,
    WireResumed,
    WireStalled,
)
from dcompute_sim.trace.master_events import (
    MasterConnected,
    MasterDisconnected,
    MasterStarted,
    MasterStopped,
    NodeStatusSeen,
)
from dcompute_sim.trace.node_events import (
    NodeConnected,
    NodeConnecting,
    NodeDisconnected,
    NodeStarted,
    NodeStopped,
    NodeSubscribing,
    TaskDropped,
    TaskFinished,
    TaskReceived,
    TaskTaken,
    TaskWithdrawn,
)

Link = Literal["off", "disconnected", "connecting", "subscribing", "connected"]


@dataclass(slots=True, eq=False)
class NodeState:
    """What holds of one participant at a moment.

    Attributes:
        link: how far its program is with its connection; "off" while there is no program.
        inc: the incarnation that is connected, "" while none is.
        conn: its newest TCP connection; `stalled` those that a silence holds up.
        waiting: the tasks it has received and not taken, oldest first.
        at_work: the tasks it has taken and not finished.
        status, status_inc: what the master has seen of it last; "" for nothing.
        faults: those that go on, by name, with their kinds.
    """

    link: Link = "off"
    inc: str = ""
    conn: int = 0
    stalled: set[int] = field(default_factory=set)
    waiting: list[TaskReceived] = field(default_factory=list)
    at_work: set[str] = field(default_factory=set)
    status: str = ""
    status_inc: str = ""
    faults: dict[str, str] = field(default_factory=dict)

    def copy(self) -> NodeState:
        """Return one that goes its own way from here."""
        return replace(
            self,
            stalled=set(self.stalled),
            waiting=list(self.waiting),
            at_work=set(self.at_work),
            faults=dict(self.faults),
        )

    @property
    def is_stalled(self) -> bool:
        """A silence holds its newest connection up, perhaps one whose fault is over."""
        return self.conn in self.stalled

    def waits_for(self, take: TaskTaken) -> TaskReceived | None:
        """Return which of the waiting tasks is taken by this; None: the node takes what it never received."""
        return next((it for it in self.waiting if (it.task, it.attempt) == (take.task, take.attempt)), None)


_CHANGING = frozenset(
    {
        BrokerStarted,
        BrokerStopped,
        FaultEnded,
        FaultInjected,
        MasterConnected,
        MasterDisconnected,
        MasterStarted,
        MasterStopped,
        NodeConnected,
        NodeConnecting,
        NodeDisconnected,
        NodeStarted,
        NodeStatusSeen,
        NodeStopped,
        NodeSubscribing,
        TaskDropped,
        TaskFinished,
        TaskReceived,
        TaskTaken,
        TaskWithdrawn,
        WireOpened,
        WireResumed,
        WireStalled,
    }
)
"""What changes a state: to find that out by matching costs a microsecond, for each of the many others."""


class Replay:
    """The state of a run, event by event."""

    def __init__(self) -> None:
        self.nodes: defaultdict[str, NodeState] = defaultdict(NodeState)
        self.broker_is_up = True
        self.master_is_connected = False

    def take_in(self, event: Event) -> None:
        """Let one more event have happened."""
        if type(event) not in _CHANGING:
            return
        match event:  # the most frequent first
            case NodeStatusSeen(node=node, status=status, inc=inc):
                state = self.nodes[node]
                state.status, state.status_inc = status, inc
            case TaskReceived(node=node):
                self.nodes[node].waiting.append(event)
            case TaskTaken(node=node, task=task):
                state = self.nodes[node]
                received = state.waits_for(event)
                if received is not None:
                    state.waiting.remove(received)
                state.at_work.add(task)
            case TaskFinished(node=node, task=task):
                self.nodes[node].at_work.discard(task)
            case WireOpened(node=node, conn=conn):
                self.nodes[node].conn = conn
            case NodeStarted(node=node):
                self._link(node, "disconnected")
                self.nodes[node].waiting.clear()
                self.nodes[node].at_work.clear()
            case NodeConnecting(node=node):
                self._link(node, "connecting")
            case NodeSubscribing(node=node):
                self.nodes[node].link = "subscribing"
            case NodeConnected(node=node, inc=inc):
                self._link(node, "connected", inc)
            case NodeDisconnected(node=node, inc=inc):
                if self.nodes[node].inc in ("", inc):
                    self._link(node, "disconnected")
            case NodeStopped(node=node, how=how):
                if how != "hang":
                    self._link(node, "off")
            case WireStalled(node=node, conn=conn):
                self.nodes[node].stalled.add(conn)
            case WireResumed(node=node, conn=conn):
                self.nodes[node].stalled.discard(conn)
            case FaultInjected(node=node, fault=fault, kind=kind):
                self.nodes[node].faults[fault] = kind
            case FaultEnded(node=node, fault=fault):
                self.nodes[node].faults.pop(fault, None)
            case TaskDropped(node=node, task=task) | TaskWithdrawn(node=node, task=task):
                waiting = self.nodes[node].waiting
                dropped = next((it for it in reversed(waiting) if it.task == task), None)
                if dropped is not None:
                    waiting.remove(dropped)
            case BrokerStopped():
                self.broker_is_up = self.master_is_connected = False
            case BrokerStarted():
                self.broker_is_up = True
            case MasterConnected():  # which proves that the broker is up
                self.broker_is_up = self.master_is_connected = True
            case MasterDisconnected() | MasterStopped():
                self.master_is_connected = False
            case MasterStarted():
                for state in self.nodes.values():  # a new master has seen nothing yet
                    state.status = state.status_inc = ""

    def _link(self, node: str, link: Link, inc: str = "") -> None:
        state = self.nodes[node]
        state.link, state.inc = link, inc
