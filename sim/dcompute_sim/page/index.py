"""A trace, read once, so that the state at any of its moments is there at once.

Rules:

1. The state comes from `trace.replayer` and `trace.traffic`, as everywhere; this only remembers it now and
   then (a checkpoint), and goes on from the nearest one. What two checkpoints have alike they share.
2. A moment is a position: the state *after* that event. In virtual time many events share a microsecond.
3. The list of events may grow at its end while this is used (`extend`), and never changes otherwise.

A checkpoint every few thousand events: to replay as many takes some milliseconds, which is what a step may
take; more of them would cost memory and gain nothing that anybody sees.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dcompute_sim import trace as t
from dcompute_sim.trace.replayer import NodeState, Replay
from dcompute_sim.trace.traffic import Traffic

APART = 4_000  # events between two checkpoints

StepTo = Literal["event", "fault", "death"]
STEPS: Mapping[type[t.Event], StepTo] = {
    t.FaultInjected: "fault",
    t.FaultEnded: "fault",
    t.BrokerStopped: "fault",
    t.MasterStopped: "fault",
    t.DeathReported: "death",
}


@dataclass(frozen=True, slots=True)
class TraceState:
    """What holds after the event at `position`; -1 is before the first."""

    position: int
    replay: Replay
    traffic: Traffic


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    position: int
    nodes: Mapping[str, NodeState]  # never changed
    broker_is_up: bool
    master_is_connected: bool
    traffic: Traffic  # never changed

    def moment(self) -> TraceState:
        replay = Replay()
        for name, state in self.nodes.items():
            replay.nodes[name] = state.copy()
        replay.broker_is_up, replay.master_is_connected = self.broker_is_up, self.master_is_connected
        return TraceState(self.position, replay, self.traffic.copy())


class TraceIndex:
    """Finds moments of a trace.

    Args:
        events: the trace; `extend` takes in what is there of it.
    """

    def __init__(self, events: Sequence[t.Event]) -> None:
        self.events = events
        self._times = array("q")
        self._steps: dict[StepTo, array[int]] = {"fault": array("q"), "death": array("q")}
        self._of_node: dict[str, array[int]] = {}
        self._head = TraceState(-1, Replay(), Traffic())
        self._checkpoints = [_Checkpoint(-1, {}, True, False, Traffic())]
        self._touched: set[str] = set()
        self._asked = self._checkpoints[0].moment()

    def __len__(self) -> int:
        return len(self._times)

    @property
    def end_us(self) -> int:
        """The time of the last event."""
        return self._times[-1] if self._times else 0

    def extend(self, until_us: int | None = None) -> range:
        """Take in the events that are new, at most those up to a time; returns their positions."""
        began = len(self._times)
        replay, traffic = self._head.replay, self._head.traffic
        position = began - 1
        for position in range(began, len(self.events)):
            event = self.events[position]
            if until_us is not None and event.t_us > until_us:
                position -= 1
                break
            self._times.append(event.t_us)
            replay.take_in(event)
            traffic.take_in(event)
            step = STEPS.get(type(event))
            if step is not None:
                self._steps[step].append(position)
            node = node_of(event)
            if node is not None:
                self._touched.add(node)
                self._of_node.setdefault(node, array("q")).append(position)
            if isinstance(event, t.MasterStarted):  # it has seen nobody
                self._touched.update(replay.nodes)
            if position - self._checkpoints[-1].position >= APART:
                self._remember(position)
        self._head = TraceState(position, replay, traffic)
        return range(began, len(self._times))

    def _remember(self, position: int) -> None:
        head = self._head.replay
        changed = {name: head.nodes[name].copy() for name in self._touched if name in head.nodes}
        self._touched.clear()
        nodes = {**self._checkpoints[-1].nodes, **changed}
        self._checkpoints.append(
            _Checkpoint(
                position, nodes, head.broker_is_up, head.master_is_connected, self._head.traffic.copy()
            )
        )

    def position_at(self, t_us: int) -> int:
        """Return the last event at or before a time; -1 before the first."""
        return bisect_right(self._times, t_us) - 1

    def moment(self, position: int) -> TraceState:
        """Return what holds after the event at this position. It is valid until the next is asked for."""
        position = max(-1, min(position, len(self) - 1))
        if not self._asked.position <= position < self._asked.position + APART:
            nearest = bisect_right(self._checkpoints, position, key=lambda it: it.position) - 1
            self._asked = self._checkpoints[nearest].moment()
        replay, traffic = self._asked.replay, self._asked.traffic
        for at in range(self._asked.position + 1, position + 1):
            replay.take_in(self.events[at])
            traffic.take_in(self.events[at])
        self._asked = TraceState(position, replay, traffic)
        return self._asked

    def step(self, position: int, by: Literal[-1, 1], to: StepTo = "event", node: str = "") -> int:
        """Return the next position of the kind asked for, or the previous; `position` itself if there is
        none.

        Args:
            node: only of this node.
        """
        last = len(self) - 1
        if to == "event":
            if not node:
                return max(0, min(position + by, last))
            return _beside(self._of_node.get(node, array("q")), position, by)
        found = _beside(self._steps[to], position, by)
        while node and found != position and node_of(self.events[found]) != node:
            further = _beside(self._steps[to], found, by)
            if further == found:
                return position
            found = further
        return found

    def around(self, position: int, before: int, after: int, node: str = "") -> list[int]:
        """Return the positions of the events about a moment, of one node or of all."""
        if not node:
            return list(range(max(0, position - before), min(len(self), position + after + 1)))
        own = self._of_node.get(node, array("q"))
        at = bisect_right(own, position)
        return list(own[max(0, at - before - 1) : at + after])


def node_of(event: t.Event) -> str | None:
    """Return of which participant an event tells; "" is the broker or the master; None: of nobody."""
    return getattr(event, "node", None)


def _beside(positions: array[int], position: int, by: Literal[-1, 1]) -> int:
    """Return the nearest of sorted positions on one side; `position` itself if there is none."""
    at = bisect_right(positions, position) if by > 0 else bisect_left(positions, position) - 1
    return positions[at] if 0 <= at < len(positions) else position
