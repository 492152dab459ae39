"""What each node did, as it saw it."""

from __future__ import annotations

from dcompute_sim.trace.event import Event


class NodeStarted(Event, frozen=True):
    """Power on; `boot` counts from 1."""

    node: str
    boot: int


class NodeStopped(Event, frozen=True):
    """The node no longer runs. `how`: crash, power_cut, hang, exit (clean), reboot. `why`, where a board did
    it by itself: reset, soft_reset, deepsleep, watchdog, or what it died of."""

    node: str
    how: str
    why: str = ""


class BootRuns(Event, frozen=True):
    """A board of somebody else's program is still at its boot.py when its memory is read; once a boot."""

    node: str


class ProgramEnded(Event, frozen=True):
    """The program of a board came to its end, which leaves the board at its prompt (its threads and timers go
    on). `error`: what nobody caught, and where; "" when it just ended."""

    node: str
    error: str = ""


class NodeConnecting(Event, frozen=True):
    """A CONNECT is about to be sent for incarnation `inc`."""

    node: str
    inc: str


class NodeSubscribing(Event, frozen=True):
    """CONNACK is in, SUBSCRIBE is about to be sent."""

    node: str
    inc: str


class NodeConnected(Event, frozen=True):
    """CONNACK and SUBACK are in: the node can be sent work."""

    node: str
    inc: str


class ConnectRead(Event, frozen=True):
    """The CONNECT of a program that is read off its wire: the client id and the keepalive that it chose, and
    what is wrong with its last will: so that nobody is told by it (`will`), or not everybody
    (`will_misses`)."""

    node: str
    inc: str
    client_id: str
    keepalive_s: int
    will: str = ""
    will_misses: str = ""


class PublishUnread(Event, frozen=True):
    """A program that is read off its wire has published what is no word of its node: once for each topic."""

    node: str
    topic: str
    reason: str


class NodeDisconnected(Event, frozen=True):
    node: str
    inc: str
    reason: str


class NodeConnectFailed(Event, frozen=True):
    """An attempt to connect came to nothing, as a python node's program is told."""

    node: str
    inc: str
    reason: str


class StatusPublished(Event, frozen=True):
    node: str
    status: str
    inc: str


class StatusRepaired(Event, frozen=True):
    """The node saw a `dead` about itself while connected and published its status again."""

    node: str
    inc: str


class TaskReceived(Event, frozen=True):
    """The task is in the node's queue."""

    node: str
    task: str
    priority: int
    attempt: int = 1


class TaskTaken(Event, frozen=True):
    """The node's program took the task from the queue."""

    node: str
    task: str
    priority: int
    attempt: int = 1


class ExecutionBegan(Event, frozen=True):
    """The testbed's ledger: in this life of the node work on the task begins; it ends with task_finished.

    Told by what is asked to do the work (by a board's node core, as it hands the task over), not by what the
    protocol made of it. `life` counts the starts of the node, from 1."""

    node: str
    task: str
    attempt: int = 1
    life: int = 1


class TaskFinished(Event, frozen=True):
    """The node's program has done the task. `meant`: it failed because the scenario wants such a task to.
    `why`: what it raised, if it failed and that is known."""

    node: str
    task: str
    ok: bool = True
    meant: bool = False
    why: str = ""


class ProgramRaised(Event, frozen=True):
    """What turns a node's tasks raised what nobody caught, and that turn is lost. `at`: where."""

    node: str
    error: str
    at: str


class ProgressSaid(Event, frozen=True):
    """The handler of a task says how far it is: in percent, and in words. It may get lost on its way."""

    node: str
    task: str
    percent: int
    text: str


class TaskDropped(Event, frozen=True):
    """The node's bounded queue was full, or the message was no valid task. `task` is "" when unreadable."""

    node: str
    task: str
    reason: str


class TaskWithdrawn(Event, frozen=True):
    """A task that waited here is not to be done here any more: settled, cancelled, expired or given back."""

    node: str
    task: str


class ResultHeld(Event, frozen=True):
    """A result was handed to the transport, which sends it when the link allows. `digest`: of its value."""

    node: str
    task: str
    digest: str = ""


class ResultDropped(Event, frozen=True):
    """Held results overflowed their bound; this oldest one is lost."""

    node: str
    task: str


class ResultSetAside(Event, frozen=True):
    """The broker closes the connection over this result; an error was sent in its place."""

    node: str
    task: str
    reason: str


class NodeOutput(Event, frozen=True):
    """A line a firmware node printed."""

    node: str
    text: str


class NotModelled(Event, frozen=True):
    """The program of an emulated board met a part of the ESP32 port that the emulator has not, or simpler."""

    node: str
    name: str


class PinShown(Event, frozen=True):
    """A pin of an emulated board, one that `stand_ins` show, puts out something else: a level (0 or 1), a
    PWM's duty (of 65,536; 0 once it is off), a DAC's value (of 255), so many lights (NeoPixels)."""

    node: str
    pin: int
    what: str
    value: int
    hz: int = 0
    colours: str = ""


class NodePower(Event, frozen=True):
    """What an emulated board draws from now on, and why: boot, radio_off, joining, connected, power_saving,
    deep_sleep, off."""

    node: str
    state: str
    microamperes: int


class NodeMemory(Event, frozen=True):
    node: str
    allocated: int
    free: int
