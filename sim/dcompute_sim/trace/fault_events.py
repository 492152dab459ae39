"""Faults, and what carried them out: the broker going and coming, connections on the wire."""

from __future__ import annotations

from dcompute_sim.trace.event import Event


class FaultInjected(Event, frozen=True):
    """`fault` is unique in the run (e.g. "crash-3"); `node` is "" for faults of the broker or master; `entry`
    is the id of the scenario's entry.

    `witness`: `optional` where the scenario is content with a fault of which nothing was seen. `not_done`:
    why it struck nobody, if so.
    """

    fault: str
    kind: str
    node: str = ""
    for_us: int | None = None
    entry: str = ""
    witness: str = ""
    not_done: str = ""


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


class MessagesDropped(Event, frozen=True):
    """The broker dropped `count` messages that `who` should have got (or sent, which it may not).
    `holds`: as many may wait for one client. `topic`: of those that the access rules do not allow."""

    who: str
    why: str
    count: int
    holds: int
    topic: str = ""


class WireOpened(Event, frozen=True):
    """A TCP connection of this node, or of another participant, reached the broker; `conn` counts per run."""

    node: str
    conn: int


class WireClosed(Event, frozen=True):
    """`how`: fin, rst, timeout, lost. `by`: node or broker (whose end went first). `quiet_us`, where it was
    the broker's: for how long the node had had nothing to say, no ping either."""

    node: str
    conn: int
    how: str
    by: str
    quiet_us: int = 0


class WireLate(Event, frozen=True):
    """Something of this node's is on its way for `late_us`, by half a second or more longer than what it said
    before: its link has become slow, or narrow. It was written `missed_us` ago."""

    node: str
    conn: int
    late_us: int
    missed_us: int = 0


class WireStalled(Event, frozen=True):
    """A retransmission of this node met a silent link, or comes no sooner than in a second: nothing of the
    connection reaches the broker now. The oldest of what it misses was written `missed_us` ago."""

    node: str
    conn: int
    missed_us: int = 0


class WireResumed(Event, frozen=True):
    """What was held is crossing again. This can be long after the link healed: TCP waits twice as long after
    each retransmission without an answer, one that was lost on a healed link included."""

    node: str
    conn: int
