"""What lies between the participants at a moment: connections, retained statuses, messages under way.

Beside the replayer, which says who was in what state. Only pages and `dcompute at` ask for this, and it would
cost every check the look at each message.

Rules:

1. A connection is there from the moment at which it reached the broker until somebody's end of it went.
2. What the broker retains is known as far as the trace tells: the last status that the node published, that
   somebody else published about it (a will), or that the broker gave to the master. A broker that loses its
   memory retains nothing.
3. A task is under way from its sending until the node has it, a result from when the node's transport holds
   it until the master has it. Whether it waits in a queue of the broker, on the wire or before a silent link
   no trace of a real broker tells; all three are "under way". What the broker says it dropped is counted.
4. What is over for its asker is under way no more, wherever its copies are.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from dcompute_sim.trace.api_events import TaskSettled
from dcompute_sim.trace.event import Event
from dcompute_sim.trace.fault_events import BrokerStopped, MessagesDropped, WireClosed, WireOpened
from dcompute_sim.trace.final import RetainedStatus
from dcompute_sim.trace.master_events import BrokerDropped, NodeStatusSeen, ResultReceived, TaskSent
from dcompute_sim.trace.node_events import (
    ResultDropped,
    ResultHeld,
    ResultSetAside,
    StatusPublished,
    TaskDropped,
    TaskReceived,
    TaskWithdrawn,
)
from dcompute_sim.trace.wire_events import SaidGone

_CHANGING = frozenset(
    {
        BrokerDropped,
        BrokerStopped,
        MessagesDropped,
        NodeStatusSeen,
        ResultDropped,
        ResultHeld,
        ResultReceived,
        ResultSetAside,
        RetainedStatus,
        SaidGone,
        StatusPublished,
        TaskDropped,
        TaskReceived,
        TaskSent,
        TaskSettled,
        TaskWithdrawn,
        WireClosed,
        WireOpened,
    }
)


@dataclass(slots=True, eq=False)
class Traffic:
    """What lies between the participants.

    Attributes:
        connections: by name, the numbers of those that are open.
        retained: the status of each node that the broker keeps.
        tasks: under way, by task: to which node, since when in us.
        results: under way, by task: from which node, since when in us.
        dropped: how many messages the broker has dropped, by who should have got them ("" where it does not
            say).
    """

    connections: dict[str, tuple[int, ...]] = field(default_factory=dict)
    retained: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, tuple[str, int]] = field(default_factory=dict)
    results: dict[str, tuple[str, int]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)

    def copy(self) -> Traffic:
        """Return one that goes its own way from here."""
        return Traffic(
            dict(self.connections),
            dict(self.retained),
            dict(self.tasks),
            dict(self.results),
            Counter(self.dropped),
        )

    def take_in(self, event: Event) -> None:
        """Let one more event have happened."""
        if type(event) not in _CHANGING:
            return
        match event:
            case TaskSent(node=node, task=task):
                self.tasks[task] = (node, event.t_us)
            case TaskReceived(task=task) | TaskDropped(task=task) | TaskWithdrawn(task=task):
                self.tasks.pop(task, None)
            case ResultHeld(node=node, task=task):
                self.results[task] = (node, event.t_us)
            case ResultReceived(task=task) | TaskSettled(task=task):
                self.tasks.pop(task, None)
                self.results.pop(task, None)
            case ResultDropped(task=task) | ResultSetAside(task=task):
                self.results.pop(task, None)
            case StatusPublished(node=node, status=status) | NodeStatusSeen(node=node, status=status):
                self.retained[node] = status
            case SaidGone(node=node, status=status) | RetainedStatus(node=node, status=status):
                self.retained[node] = status
            case WireOpened(node=name, conn=conn):
                self.connections[name] = (*self.connections.get(name, ()), conn)
            case WireClosed(node=name, conn=conn):
                left = tuple(other for other in self.connections.get(name, ()) if other != conn)
                if left:
                    self.connections[name] = left
                else:
                    self.connections.pop(name, None)
            case BrokerStopped(kept_memory=kept):
                if not kept:
                    self.retained.clear()
            case MessagesDropped(who=who, count=count):
                self.dropped[who] += count
            case BrokerDropped(count=count):
                self.dropped[""] += count
