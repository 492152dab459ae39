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
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from dcompute_sim.trace.api_events import NodeForgotten
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


class Replay:
    """The state of a run, event by event."""

    def __init__(self) -> None:
        self.nodes: defaultdict[str, NodeState] = defaultdict(NodeState)
        self.broker_is_up = True
        self.master_is_connected = False

    def take_in(self, event: Event) -> None:
        """Let one more event have happened."""
        change = _CHANGES.get(type(event))
        if change is not None:
            change(self, event)

    def _status_seen(self, event: NodeStatusSeen) -> None:
        state = self.nodes[event.node]
        state.status, state.status_inc = event.status, event.inc

    def _forgotten(self, event: NodeForgotten) -> None:
        state = self.nodes[event.node]
        state.status = state.status_inc = ""

    def _received(self, event: TaskReceived) -> None:
        self.nodes[event.node].waiting.append(event)

    def _taken(self, event: TaskTaken) -> None:
        state = self.nodes[event.node]
        received = state.waits_for(event)
        if received is not None:
            state.waiting.remove(received)
        state.at_work.add(event.task)

    def _finished(self, event: TaskFinished) -> None:
        self.nodes[event.node].at_work.discard(event.task)

    def _dropped(self, event: TaskDropped | TaskWithdrawn) -> None:
        waiting = self.nodes[event.node].waiting
        dropped = next((it for it in reversed(waiting) if it.task == event.task), None)
        if dropped is not None:
            waiting.remove(dropped)

    def _opened(self, event: WireOpened) -> None:
        self.nodes[event.node].conn = event.conn

    def _stalled(self, event: WireStalled) -> None:
        self.nodes[event.node].stalled.add(event.conn)

    def _resumed(self, event: WireResumed) -> None:
        self.nodes[event.node].stalled.discard(event.conn)

    def _started(self, event: NodeStarted) -> None:
        self._link(event.node, "disconnected")
        self.nodes[event.node].waiting.clear()
        self.nodes[event.node].at_work.clear()

    def _stopped(self, event: NodeStopped) -> None:
        if event.how != "hang":
            self._link(event.node, "off")

    def _connecting(self, event: NodeConnecting) -> None:
        self._link(event.node, "connecting")

    def _subscribing(self, event: NodeSubscribing) -> None:
        self.nodes[event.node].link = "subscribing"

    def _connected(self, event: NodeConnected) -> None:
        self._link(event.node, "connected", event.inc)

    def _disconnected(self, event: NodeDisconnected) -> None:
        if self.nodes[event.node].inc in ("", event.inc):
            self._link(event.node, "disconnected")

    def _injected(self, event: FaultInjected) -> None:
        self.nodes[event.node].faults[event.fault] = event.kind

    def _fault_ended(self, event: FaultEnded) -> None:
        self.nodes[event.node].faults.pop(event.fault, None)

    def _broker_stopped(self, _event: BrokerStopped) -> None:
        self.broker_is_up = self.master_is_connected = False

    def _broker_started(self, _event: BrokerStarted) -> None:
        self.broker_is_up = True

    def _master_connected(self, _event: MasterConnected) -> None:
        """Take in what proves that the broker is up."""
        self.broker_is_up = self.master_is_connected = True

    def _master_gone(self, _event: MasterDisconnected | MasterStopped) -> None:
        self.master_is_connected = False

    def _master_started(self, _event: MasterStarted) -> None:
        for state in self.nodes.values():  # a new master has seen nothing yet
            state.status = state.status_inc = ""

    def _link(self, node: str, link: Link, inc: str = "") -> None:
        state = self.nodes[node]
        state.link, state.inc = link, inc


_CHANGES: dict[type[Event], Callable[[Replay, Any], None]] = {
    BrokerStarted: Replay._broker_started,
    BrokerStopped: Replay._broker_stopped,
    FaultEnded: Replay._fault_ended,
    FaultInjected: Replay._injected,
    MasterConnected: Replay._master_connected,
    MasterDisconnected: Replay._master_gone,
    MasterStarted: Replay._master_started,
    MasterStopped: Replay._master_gone,
    NodeConnected: Replay._connected,
    NodeConnecting: Replay._connecting,
    NodeDisconnected: Replay._disconnected,
    NodeForgotten: Replay._forgotten,
    NodeStarted: Replay._started,
    NodeStatusSeen: Replay._status_seen,
    NodeStopped: Replay._stopped,
    NodeSubscribing: Replay._subscribing,
    TaskDropped: Replay._dropped,
    TaskFinished: Replay._finished,
    TaskReceived: Replay._received,
    TaskTaken: Replay._taken,
    TaskWithdrawn: Replay._dropped,
    WireOpened: Replay._opened,
    WireResumed: Replay._resumed,
    WireStalled: Replay._stalled,
}
"""What changes a state, and how: to find that out by matching costs a microsecond, for each event."""
