"""Which kinds of fault hit nodes in which states, over one run or many; and which never did."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dcompute_sim import trace as t
from dcompute_sim.trace.replayer import NodeState, Replay

STATES = ("off", "disconnected", "connecting", "subscribing", "idle", "busy", "publishing")
"""What a node can be doing when a fault hits it."""

_TELLING = frozenset(
    {
        t.FaultInjected,
        t.NodeConnected,
        t.NodeConnecting,
        t.NodeDisconnected,
        t.NodeStarted,
        t.NodeStatusSeen,
        t.NodeStopped,
        t.NodeSubscribing,
        t.ResultHeld,
        t.ResultReceived,
        t.StatusPublished,
        t.TaskFinished,
        t.TaskTaken,
    }
)
"""The events of which it is told what a node was doing: most of a trace is others."""
_PUBLISH_US = 1_000_000  # a publication not answered after this long no longer counts as under way


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often each kind of fault hit a node in each state."""

    hits: Counter[tuple[str, str]]
    runs: int

    @property
    def kinds(self) -> list[str]:
        """The kinds of fault that were injected into nodes, by name."""
        return sorted({kind for kind, _ in self.hits})

    def never(self) -> list[tuple[str, str]]:
        """List pairs of an injected kind and a state of a running node that did not occur."""
        return [(kind, state) for kind in self.kinds for state in STATES[1:] if not self.hits[kind, state]]


def coverage(traces: Iterable[Sequence[t.Event]]) -> Coverage:
    """Count over all traces."""
    hits: Counter[tuple[str, str]] = Counter()
    runs = 0
    for trace in traces:
        runs += 1
        replay = Replay()
        under_way: defaultdict[str, dict[str, int]] = defaultdict(
            dict
        )  # by node: what it published, and when
        for event in trace:
            if type(event) not in _TELLING or not (name := event.node):  # type: ignore[attr-defined]
                continue
            if isinstance(event, t.FaultInjected):
                hits[event.kind, _doing(replay.nodes[name], under_way[name], event.t_us)] += 1
            replay.take_in(event)
            _note(under_way[name], event)
    return Coverage(hits, runs)


def _doing(node: NodeState, under_way: dict[str, int], now_us: int) -> str:
    if node.link != "connected":
        return node.link
    if any(now_us - since_us <= _PUBLISH_US for since_us in under_way.values()):
        return "publishing"
    return "busy" if node.at_work else "idle"


def _note(under_way: dict[str, int], event: t.Event) -> None:
    """Note what the node has published and nobody has received yet."""
    match event:
        case t.NodeStarted() | t.NodeDisconnected():
            under_way.clear()
        case t.ResultHeld(task=task):
            under_way[f"result {task}"] = event.t_us
        case t.ResultReceived(task=task):
            under_way.pop(f"result {task}", None)
        case t.StatusPublished(status=status):
            under_way[f"status {status}"] = event.t_us
        case t.NodeStatusSeen(status=status):
            under_way.pop(f"status {status}", None)
