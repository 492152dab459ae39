"""What an observer of a transport is told: one dataclass for each kind of event.

    def observe(event):
        match event:
            case events.DeathReported(node=node, cause=cause): ...

    MasterNodeTransport(observer=observe)

An observer is called at once and in order, on the transport's loop or in the thread that called the
transport; it must not block. What it raises is logged and stops nothing. `node` and `task` are ids ("" where
a task has none), `inc` is the incarnation of a node's connection. Later releases may add kinds of events: let
`match` have a `case _`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dcompute._value import value

# --- of both ------------------------------------------------------------------------------------------------


@value
class MessageRejected:
    """A message outside the protocol came on `topic`; it had no effect."""

    topic: str
    reason: str


# --- of a node ----------------------------------------------------------------------------------------------


@value
class NodeConnecting:
    """The node begins a connection, and with it a new incarnation."""

    inc: str


@value
class NodeSubscribing:
    """The broker has accepted the connection."""

    inc: str


@value
class NodeConnected:
    """Connected and subscribed: tasks can arrive."""

    inc: str


@value
class NodeDisconnected:
    """A connection that was up is gone; the node is connecting again."""

    inc: str
    reason: str


@value
class NodeConnectFailed:
    """An attempt to connect came to nothing; another one follows. `inc`: of that attempt."""

    inc: str
    reason: str


@value
class StatusPublished:
    """The node's status is handed to the link."""

    status: str
    inc: str


@value
class StatusRepaired:
    """The node saw an older connection's `dead` or `offline` about itself and puts it right."""

    inc: str


@value
class TaskReceived:
    """A task has arrived and waits in the node's queue."""

    task: str
    priority: int
    attempt: int


@value
class TaskTaken:
    """The node's program has taken the task from the queue."""

    task: str
    priority: int
    attempt: int


@value
class TaskDropped:
    """A task that arrived is lost: there was no room for it."""

    task: str
    reason: str


@value
class TaskWithdrawn:
    """A task that waited here is not to be done here any more: settled, cancelled, expired or given back."""

    task: str


@value
class ResultHeld:
    """A result waits to be sent, or is sent at once."""

    task: str
    value: object


@value
class ResultDropped:
    """The oldest held result is lost, as too many waited; `payload` is the message it would have been."""

    payload: bytes


@value
class ResultSetAside:
    """The broker closes the connection over this result: an error is sent in its place."""

    task: str
    reason: str


# --- of a master or an executor -----------------------------------------------------------------------------


@value
class MasterConnected:
    """Connected and subscribed."""


@value
class MasterDisconnected:
    """A connection that was up is gone; the master is connecting again."""

    reason: str


@value
class TaskSent:
    """A task is handed to the link; `size` in bytes."""

    node: str
    task: str
    priority: int
    attempt: int
    size: int


@value
class NodeStatusSeen:
    """A node has another status, or another incarnation, than the master believed."""

    node: str
    status: str
    inc: str


@value
class DeathReported:
    """A node died. `cause`: will, offline (it left) or silent (the master declared it dead)."""

    node: str
    inc: str
    cause: str


@value
class StaleDeathIgnored:
    """A `dead` of a connection that is not the node's present one had no effect."""

    node: str
    inc: str


@value
class ResultReceived:
    """A result was accepted; `value` is the result itself, not a copy."""

    node: str
    task: str
    value: object


@value
class ResultDuplicate:
    """A result of a task that has one already was ignored."""

    node: str
    task: str


@value
class ResultRefused:
    """A result was ignored for want of proof that it is the node's own; `reason` says what spoke against it.

    Somebody wrote in the node's name; or the task was given to it by this master's life before, and since to
    another node.
    """

    node: str
    task: str
    reason: str


@value
class AttemptFailed:
    """A node has told an executor that a task failed there; it is tried again."""

    node: str
    task: str


@value
class UpdateMoved:
    """An update over the air has come to another state (see `dcompute.UpdateState`)."""

    node: str
    version: str
    state: str
    reason: str


@value
class TaskSetAside:
    """The broker closes the connection over this task; an error takes the place of its result."""

    node: str
    task: str
    reason: str


@value
class BrokerDropped:
    """The broker has dropped `count` more messages, of whomever, than when the master last looked."""

    count: int


CoreEvent = (
    StatusPublished
    | StatusRepaired
    | TaskReceived
    | TaskTaken
    | TaskDropped
    | TaskWithdrawn
    | ResultHeld
    | MessageRejected
)
NodeEvent = (
    CoreEvent
    | NodeConnecting
    | NodeSubscribing
    | NodeConnected
    | NodeDisconnected
    | NodeConnectFailed
    | ResultDropped
    | ResultSetAside
)
MasterEvent = (
    MasterConnected
    | MasterDisconnected
    | TaskSent
    | NodeStatusSeen
    | DeathReported
    | StaleDeathIgnored
    | ResultReceived
    | ResultDuplicate
    | ResultRefused
    | UpdateMoved
    | MessageRejected
    | TaskSetAside
    | BrokerDropped
)
ExecutorEvent = (
    MasterConnected
    | MasterDisconnected
    | TaskSent
    | ResultReceived
    | ResultDuplicate
    | AttemptFailed
    | MessageRejected
)
NodeObserver = Callable[[NodeEvent], object]
MasterObserver = Callable[[MasterEvent], object]
ExecutorObserver = Callable[[ExecutorEvent], object]

_OF_NODE: dict[str, type[NodeEvent]] = {
    "message_rejected": MessageRejected,
    "node_connected": NodeConnected,
    "node_connecting": NodeConnecting,
    "node_disconnected": NodeDisconnected,
    "result_held": ResultHeld,
    "status_published": StatusPublished,
    "status_repaired": StatusRepaired,
    "task_dropped": TaskDropped,
    "task_received": TaskReceived,
    "task_taken": TaskTaken,
    "task_withdrawn": TaskWithdrawn,
}


def node_event(name: str, fields: Mapping[str, Any]) -> NodeEvent:
    """Return the event that a node core tells as a name and fields, having no dataclasses on a board.

    Raises:
        ValueError: for a name no event has, or fields that are not the event's.
    """
    try:
        return _OF_NODE[name](**fields)
    except KeyError:
        raise ValueError(f"no event of a node is called {name!r}") from None
    except TypeError as error:
        raise ValueError(f"event {name!r} of a node: {error}") from None
