"""Which kinds of fault hit nodes in which states, over one run or many; and which never did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from dcompute_sim import trace as t

STATES = ("off", "disconnected", "connecting", "subscribing", "idle", "busy", "publishing")
"""What a node can be doing when a fault hits it."""

_PUBLISH_US = 1_000_000  # a publication not answered after this long no longer counts as under way


@dataclass(slots=True)
class _NodeState:
    link: str = "off"  # off, disconnected, connecting, subscribing, connected
    running: set[str] = field(default_factory=set)  # tasks taken and not finished
    under_way: dict[str, int] = field(default_factory=dict)  # what was published, and when

    def state(self, now_us: int) -> str:
        if self.link != "connected":
            return self.link
        if any(now_us - since_us <= _PUBLISH_US for since_us in self.under_way.values()):
            return "publishing"
        return "busy" if self.running else "idle"


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
        """Pairs of an injected kind and a state of a running node that did not occur."""
        return [(kind, state) for kind in self.kinds for state in STATES[1:] if not self.hits[kind, state]]


def coverage(traces: Iterable[Sequence[t.Event]]) -> Coverage:
    """Count over all traces."""
    hits: Counter[tuple[str, str]] = Counter()
    runs = 0
    for trace in traces:
        runs += 1
        nodes: dict[str, _NodeState] = {}
        for event in trace:
            name = getattr(event, "node", "")
            if not name:
                continue
            node = nodes.setdefault(name, _NodeState())
            if isinstance(event, t.FaultInjected):
                hits[event.kind, node.state(event.t_us)] += 1
            else:
                _note(node, event)
    return Coverage(hits, runs)


def _note(node: _NodeState, event: t.Event) -> None:
    match event:
        case t.NodeStarted():
            node.link = "disconnected"
            node.running.clear()
            node.under_way.clear()
        case t.NodeStopped(how=how) if how != "hang":
            node.link = "off"
        case t.NodeConnecting():
            node.link = "connecting"
        case t.NodeSubscribing():
            node.link = "subscribing"
        case t.NodeConnected():
            node.link = "connected"
        case t.NodeDisconnected():
            node.link = "disconnected"
            node.under_way.clear()
        case t.TaskTaken(task=task):
            node.running.add(task)
        case t.TaskFinished(task=task):
            node.running.discard(task)
        case t.ResultHeld(task=task):
            node.under_way[f"result {task}"] = event.t_us
        case t.ResultReceived(task=task):
            node.under_way.pop(f"result {task}", None)
        case t.StatusPublished(status=status):
            node.under_way[f"status {status}"] = event.t_us
        case t.NodeStatusSeen(status=status):
            node.under_way.pop(f"status {status}", None)
