"""What the master did, and what it believed."""

from __future__ import annotations

from dcompute_sim.trace.event import Event


class MasterStarted(Event, frozen=True):
    """`liveness_s`: after which silence it is to give a node up; 0 when each node's keepalive says.
    `remembers`: it has written down who is there."""

    boot: int
    liveness_s: float = 0.0
    remembers: bool = False


class MasterStopped(Event, frozen=True):
    """`how`: crash or exit."""

    how: str


class MasterConnected(Event, frozen=True):
    pass


class MasterDisconnected(Event, frozen=True):
    reason: str


class TaskSent(Event, frozen=True):
    """This task was sent to a node. `size`: payload bytes; `asker`: the executor that has it done, "" for the
    bare transport."""

    node: str
    task: str
    priority: int
    attempt: int = 1
    size: int = 0
    asker: str = ""


class TaskRefused(Event, frozen=True):
    """The master declined to send (unknown or dead node)."""

    node: str
    task: str
    reason: str


class NodeStatusSeen(Event, frozen=True):
    """The master's record of a node changed."""

    node: str
    status: str
    inc: str = ""


class DeathReported(Event, frozen=True):
    """The dead-nodes callback named this node. `cause`: will, offline or silent."""

    node: str
    inc: str
    cause: str


class StaleDeathIgnored(Event, frozen=True):
    """A `dead` of an incarnation that is not the node's current one."""

    node: str
    inc: str


class ResultReceived(Event, frozen=True):
    node: str
    task: str
    digest: str = ""
    asker: str = ""


class ResultDuplicate(Event, frozen=True):
    """Of a task that has its result; for an executor, or that is over otherwise."""

    node: str
    task: str
    asker: str = ""


class ResultRefused(Event, frozen=True):
    """The master ignored a result for want of proof that it is the node's own."""

    node: str
    task: str
    reason: str


class TaskSetAside(Event, frozen=True):
    """The broker closes the connection over this task; an error takes the place of its result."""

    node: str
    task: str
    reason: str


class BrokerDropped(Event, frozen=True):
    """The broker says that it has dropped `count` more messages, of whomever."""

    count: int


class UpdateStarted(Event, frozen=True):
    """The master is told to bring a board to another version.

    What the scenario declares of it: `broken`, what is wrong with its program; `signed`, `wrong` with another
    secret's keys; `release` and that of the version `before`, which a board must not go below.
    """

    node: str
    version: str
    before: str = ""
    broken: str = ""
    signed: str = "right"
    release: int = 1
    release_before: int = 0


class CampaignStarted(Event, frozen=True):
    """A version is to be brought to these boards in waves.

    As the scenario declares it: `first` boards before all others, or those named by `canaries`; then `wave`
    of all at a time, `pause_s` after those before have ended; aborted when more than `abort` of the boards
    that took it do not run it, and `back`, then, to the version before. A board that does not answer is tried
    `tries` times in all.
    """

    version: str
    nodes: list[str]
    first: int = 1
    canaries: tuple[str, ...] = ()
    wave: float = 1.0
    pause_s: float = 0.0
    abort: float = 1.0
    back: bool = True
    tries: int = 2


class CampaignEnded(Event, frozen=True):
    """Nothing more is to be done of it. `aborted`: why it was stopped, if it was."""

    version: str
    aborted: str = ""
    done: int = 0
    failed: int = 0
    untouched: int = 0


class UpdateState(Event, frozen=True):
    """How far the master has come with a board's update (the words of dcompute.updates.UpdateState)."""

    node: str
    version: str
    state: str
    reason: str = ""


class MessageRejected(Event, frozen=True):
    """`who` ("master" or a node id) received bytes that are no valid message."""

    who: str
    topic: str
    reason: str
    by_master: bool = False
