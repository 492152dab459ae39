"""The end: what everyone believes, read by an independent observer."""

from __future__ import annotations

from dcompute_sim.trace.event import Event


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
    """At the end: the version of its program that a board has told the master ("" when none), and the one
    that it says it went back from.
    """

    node: str
    version: str
    failed: str = ""


class Counters(Event, frozen=True):
    """Counters of one participant at the end of the run."""

    who: str
    values: dict[str, int]
