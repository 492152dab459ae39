"""Events of the run as a whole."""

from __future__ import annotations

from typing import Literal

import msgspec

from dcompute_sim.trace.event import Event

FORMAT = 1


class RunStarted(Event, frozen=True):
    """First event of every trace: all that is needed to judge it, and (with the scenario) to repeat it."""

    scenario: str
    seed: int
    time: Literal["real", "virtual"]
    broker: str
    broker_granularity_s: float  # how late, past 1.5 x keepalive, this broker may notice a silent client
    mutants: list[str] = msgspec.field(default_factory=list)
    overrides: list[str] = msgspec.field(default_factory=list)  # what `--set` changed
    variation: str = ""  # which combination of the scenario's matrix
    target: Literal["", "sim", "emulator", "board"] = ""  # as what its firmware groups ran, over what it says
    emulator: str = ""  # what its emulated boards run on; not part of the digest
    format: int = FORMAT


class PhaseStarted(Event, frozen=True):
    phase: str


class RunEnded(Event, frozen=True):
    """`reason`: finished, timeout or interrupted."""

    reason: str


class NodeDefined(Event, frozen=True):
    """A node of the scenario. `queue_limit`: how many tasks may wait there; `hold_limit`: how many results
    for a connection; 0 when it does not say. `older`: it knows no delivery end to end. `will`: `optional`
    where its program means its last will to be as it is. `id`: on the wire, where that is not its name.
    `takes`: how many tasks of one asker at a time (`credit`), 0 when it does not say."""

    node: str
    group: str
    kind: str  # python | firmware | board
    keepalive_s: float
    foreign: bool = False  # its program is not ours
    queue_limit: int = 0
    hold_limit: int = 0
    older: bool = False
    will: str = ""
    id: str = ""
    takes: int = 0


class LoopLagged(Event, frozen=True):
    """The testbed itself was late: for `lag_us` until now the loop of a run in real time had no turn, or no
    processor. What was to be done in between is done now."""

    lag_us: int


class BrokerLagged(Event, frozen=True):
    """The machine kept the broker of a run in real time waiting: of the time until now its process wanted a
    processor for `lag_us` and had none."""

    lag_us: int


class LogLine(Event, frozen=True):
    """A warning or error logged by production code during the run (`who`: node id, "master" or "broker")."""

    who: str
    level: str
    text: str
