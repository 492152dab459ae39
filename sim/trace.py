"""The trace of a run: typed, timestamped events, written to and read from JSON lines.

Everything that judges or shows a run (checks, reports, comparisons) reads this and nothing else, so a saved
trace can be judged again later. Times are integer microseconds since the run began: integers print the same
everywhere, which a byte-identical replay needs. No event carries a wall-clock time, a path or a process id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Literal

import msgspec

FORMAT = 1


def _tag(class_name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in class_name).lstrip("_")


class Event(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event", tag=_tag, gc=False
):
    """What every event has: when it happened. No event is part of a cycle, so the collector need not look."""

    t_us: int

    @property
    def t_s(self) -> float:
        """Seconds since the run began."""
        return self.t_us / 1e6


# --- the run ---------------------------------------------------------------------------------------------


class RunStarted(Event, frozen=True):
    """First event of every trace: all that is needed to judge it, and (with the scenario) to repeat it."""

    scenario: str
    seed: int
    time: Literal["real", "virtual"]
    broker: str
    broker_granularity_s: float  # how late, past 1.5 x keepalive, this broker may notice a silent client
    sabotage: list[str] = []
    overrides: list[str] = []  # what `--set` changed
    variation: str = ""  # which combination of the scenario's matrix
    target: Literal["", "sim", "emulator", "board"] = ""  # as what its firmware groups ran, over what it says
    format: int = FORMAT


class PhaseStarted(Event, frozen=True):
    phase: str


class RunEnded(Event, frozen=True):
    """`reason`: finished, timeout or interrupted."""

    reason: str


class NodeDefined(Event, frozen=True):
    node: str
    group: str
    kind: str  # python | firmware | board
    keepalive_s: float


class LogLine(Event, frozen=True):
    """A warning or error logged by production code during the run (`who`: node id, "master" or "broker")."""

    who: str
    level: str
    text: str


# --- nodes: what each one did, as it saw it --------------------------------------------------------------


class NodeStarted(Event, frozen=True):
    """Power on; `boot` counts from 1."""

    node: str
    boot: int


class NodeStopped(Event, frozen=True):
    """The node no longer runs. `how`: crash, power_cut, hang, exit (clean), reboot."""

    node: str
    how: str


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


class NodeDisconnected(Event, frozen=True):
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


class TaskFinished(Event, frozen=True):
    node: str
    task: str
    ok: bool = True


class TaskDropped(Event, frozen=True):
    """The node's bounded queue was full, or the message was no valid task. `task` is "" when unreadable."""

    node: str
    task: str
    reason: str


class ResultHeld(Event, frozen=True):
    """A result was handed to the transport, which sends it when the link allows. `digest`: of its value."""

    node: str
    task: str
    digest: str = ""


class ResultDropped(Event, frozen=True):
    """Held results overflowed their bound; this oldest one is lost."""

    node: str
    task: str


class NodeOutput(Event, frozen=True):
    """A line a firmware node printed."""

    node: str
    text: str


class NodeMemory(Event, frozen=True):
    node: str
    allocated: int
    free: int


# --- the master ------------------------------------------------------------------------------------------


class MasterStarted(Event, frozen=True):
    boot: int


class MasterStopped(Event, frozen=True):
    """`how`: crash or exit."""

    how: str


class MasterConnected(Event, frozen=True):
    pass


class MasterDisconnected(Event, frozen=True):
    reason: str


class TaskSent(Event, frozen=True):
    """The director asked the master to send this task. `size`: payload bytes."""

    node: str
    task: str
    priority: int
    attempt: int = 1
    size: int = 0


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


class ResultDuplicate(Event, frozen=True):
    node: str
    task: str


class UpdateStarted(Event, frozen=True):
    """The master is told to bring a board to another version. `broken`: what is wrong with that version."""

    node: str
    version: str
    before: str = ""
    broken: str = ""


class UpdateState(Event, frozen=True):
    """How far the master has come with a board's update (the words of dcompute.update.State)."""

    node: str
    version: str
    state: str
    reason: str = ""


class MessageRejected(Event, frozen=True):
    """`who` ("master" or a node id) received bytes that are no valid message."""

    who: str
    topic: str
    reason: str


# --- faults and what carried them out --------------------------------------------------------------------


class FaultInjected(Event, frozen=True):
    """`fault` is unique in the run (e.g. "crash-3"); `node` is "" for faults of the broker or master."""

    fault: str
    kind: str
    node: str = ""
    for_us: int | None = None


class FaultEffect(Event, frozen=True):
    """Receipt: what the fault visibly did on the wire, e.g. "fin", "rst", "held 120 bytes", "refused"."""

    fault: str
    node: str
    effect: str


class FaultEnded(Event, frozen=True):
    """A fault with a duration was healed."""

    fault: str
    node: str = ""


class BrokerStarted(Event, frozen=True):
    pass


class BrokerStopped(Event, frozen=True):
    kept_memory: bool


class WireOpened(Event, frozen=True):
    """A TCP connection of this node (or "master") reached the broker; `conn` counts per run."""

    node: str
    conn: int


class WireClosed(Event, frozen=True):
    """`how`: fin, rst, timeout, lost. `by`: node or broker (whose end went first)."""

    node: str
    conn: int
    how: str
    by: str


class WireStalled(Event, frozen=True):
    """A retransmission of this node met a silent link: nothing of the connection reaches the broker now."""

    node: str
    conn: int


class WireResumed(Event, frozen=True):
    """What was held is crossing again. This can be long after the link healed: TCP waits twice as long after
    each retransmission without an answer, one that was lost on a healed link included."""

    node: str
    conn: int


# --- the end: what everyone believes, read by an independent observer -------------------------------------


class RetainedStatus(Event, frozen=True):
    """A retained status as a fresh client reads it from the broker at the end ("" when there is none)."""

    node: str
    status: str
    inc: str = ""


class FinalNode(Event, frozen=True):
    """At the end: is the node running and connected, what it says of itself, what the master believes."""

    node: str
    running: bool
    connected: bool
    own_status: str
    master_status: str
    inc: str = ""


class FinalVersion(Event, frozen=True):
    """At the end: the version of its program that a board has told the master ("" when none)."""

    node: str
    version: str


class Counters(Event, frozen=True):
    """Counters of one participant at the end of the run."""

    who: str
    values: dict[str, int]


def _subclasses(cls: type[Event]) -> tuple[type[Event], ...]:
    return tuple(cls.__subclasses__())


EVENT_TYPES: tuple[type[Event], ...] = _subclasses(Event)
_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(EVENT_TYPES[0])


def _union() -> Any:
    union: Any = EVENT_TYPES[0]
    for cls in EVENT_TYPES[1:]:
        union = union | cls
    return union


_decoder = msgspec.json.Decoder(_union())


class TraceError(ValueError):
    """A trace file could not be read; the message names file and line."""


class Trace:
    """An append-only list of events, with a running digest and optional listeners (live views).

    Args:
        sink: an open binary file to which each event is also written as one JSON line at once.
    """

    def __init__(self, sink: IO[bytes] | None = None) -> None:
        self.events: list[Event] = []
        self._sink = sink
        self._listeners: list[Callable[[Event], None]] = []

    def add(self, event: Event) -> None:
        """Append `event`; its time must not be before the previous one's."""
        self.events.append(event)
        if self._sink is not None:
            self._sink.write(_encoder.encode(event) + b"\n")
        for listener in self._listeners:
            listener(event)

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with every event added from now on."""
        self._listeners.append(listener)

    @property
    def started(self) -> RunStarted:
        """The first event; TraceError if there is none."""
        first = self.events[0] if self.events else None
        if not isinstance(first, RunStarted):
            raise TraceError("a trace begins with a run_started event")
        return first

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def digest(self) -> str:
        """SHA-256 over the JSON lines, readings of memory apart; see `digest`."""
        return digest(self.events)

    def write(self, path: Path) -> None:
        """Write all events as JSON lines."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            for event in self.events:
                out.write(_encoder.encode(event) + b"\n")


def digest(events: Iterable[Event]) -> str:
    """SHA-256 (hex) over the JSON lines of those `events` that repeat."""
    hasher = hashlib.sha256()
    for event in filter(repeats, events):
        hasher.update(_encoder.encode(event))
        hasher.update(b"\n")
    return hasher.hexdigest()


def repeats(event: Event) -> bool:
    """Whether a run that is repeated has this event again, to the byte: all but readings of memory.

    MicroPython's collector looks for what may be an address, and keeps some bytes more or less, depending on
    where its process was loaded.
    """
    return not isinstance(event, NodeMemory)


def encode_event(event: Event) -> bytes:
    """One event as its JSON line, without the newline."""
    return _encoder.encode(event)


def read(path: Path) -> Trace:
    """Read a trace written by `Trace.write`. Raises TraceError naming file and line of what is wrong."""
    trace = Trace()
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                trace.add(_decoder.decode(line))
            except msgspec.MsgspecError as error:
                raise TraceError(f"{path}:{number}: not a trace event: {error}") from None
    if not trace.events or not isinstance(trace.events[0], RunStarted):
        raise TraceError(f"{path}:1: a trace begins with a run_started event")
    return trace
