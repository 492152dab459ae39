"""What is remarkable in a run, as a set of small tuples of words by which runs are compared.

Rules:

* Each participant has its own sequence of events; those of broker and master are in every node's too, for
  they happen to it. Names, tasks, incarnations and times are left out: what counts is what kind of thing
  happened.
* A `step` is two events that followed one another at a participant; of these there are a few thousand, and
  a search comes to an end of them.
* A `path` is two or three that followed one another, each with what was going on then: the kinds of fault at
  the node, whether the broker was down and the master away. Work that goes as usual is left out of these.
* A `mishap` is two or three faults that followed one another at a node or its broker, each with what the node
  was doing, and how long after the one before (`_GAPS_S`), whatever happened in between. Three rare events in
  a row are met by way of two of them, so two are remembered as well.

Rejected: counts of each step, in buckets. They told more of how much work a run had than of what befell it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dcompute_sim import trace as t
from dcompute_sim.trace.replayer import NodeState, Replay

Feature = tuple[str, ...]
"""Its level (`step`, `path`, `mishap`) and the words of its events."""

STEP, PATH, MISHAP = "step", "path", "mishap"
_GAPS_S = ((1.0, "at once"), (5.0, "soon"), (30.0, "later"))
_WHILE = " while "
_TELLING = ("status", "how", "cause", "by", "ok", "state")
"""Fields of events whose words say what kind of thing happened."""

_FACTS = (  # no events of the run, but what is written down of it
    t.RunStarted,
    t.RunEnded,
    t.PhaseStarted,
    t.NodeDefined,
    t.ParticipantDefined,
    t.TaskAsked,
    t.FaultEffect,
    t.MasterPolled,
    t.MasterAnswered,
    t.MasterCounted,
    t.RetainedStatus,
    t.FinalNode,
    t.FinalVersion,
    t.Counters,
    t.LogLine,
    t.NodeMemory,
    t.NodeOutput,
)
_ROUTINE = (
    t.TaskSent,
    t.TaskReceived,
    t.TaskTaken,
    t.TaskFinished,
    t.ResultHeld,
    t.ResultReceived,
    t.ResultTaken,
    t.StatusPublished,
    t.NodeStatusSeen,
    t.WireOpened,
    t.WireClosed,
)
_FOR_ALL = (t.BrokerStopped, t.BrokerStarted, t.MasterStopped, t.MasterStarted)
_WORDS = {
    kind: tuple(key for key in _TELLING if key in kind.__struct_fields__)
    for kind in t.EVENT_TYPES
    if kind not in _FACTS
}


def features(events: Iterable[t.Event]) -> frozenset[Feature]:
    """What a trace shows."""
    found = _Found()
    for event in events:
        found.add(event)
    return frozenset(found.features)


class _Found:
    """One pass over a trace."""

    def __init__(self) -> None:
        self.features: set[Feature] = set()
        self._replay = Replay()
        self._kinds: dict[str, str] = {}  # of faults by their names
        self._steps: dict[str, str] = {}  # by participant: the newest event
        self._paths: dict[str, Feature] = {}  # the newest two, in their circumstances
        self._mishaps: dict[str, Feature] = {}  # the newest two
        self._mishap_us: dict[str, int] = {}

    def add(self, event: t.Event) -> None:
        told = _WORDS.get(type(event))
        if told is None:
            return
        node = getattr(event, "node", "")
        if isinstance(event, _FOR_ALL) or (isinstance(event, t.FaultInjected) and not node):
            whose = ["", *(name for name in self._replay.nodes if name)]
        else:
            whose = [node]
        word = self._word(event, told)
        for name in whose if word else ():
            self._note(name, event, word)
        self._replay.take_in(event)

    def _word(self, event: t.Event, told: tuple[str, ...]) -> str:
        match event:
            case t.FaultInjected(fault=fault, kind=kind, not_done=not_done):
                self._kinds[fault] = kind
                return "" if not_done else kind
            case t.FaultEnded(fault=fault):
                return f"end of {self._kinds[fault]}"
            case t.BrokerStopped(kept_memory=kept):
                return "broker stops" if kept else "broker stops and forgets"
        name = type(event).__name__
        return " ".join([name, *(str(getattr(event, key)) for key in told)]) if told else name

    def _note(self, name: str, event: t.Event, word: str) -> None:
        before = self._steps.get(name)
        if before is not None:
            self.features.add((STEP, before, word))
        self._steps[name] = word
        state = self._replay.nodes[name]
        mishap = isinstance(event, t.FaultInjected)
        if mishap:
            self._note_mishap(name, event.t_us, f"{word}{_WHILE}{_doing(state)}" if name else word)
        around = self._around(state)
        if not around and isinstance(event, _ROUTINE):
            return
        path = (*self._paths.get(name, ()), f"{word} ({around})" if around else word)
        self.features.update((PATH, *path[-length:]) for length in (2, 3) if len(path) >= length)
        self._paths[name] = path[-2:]

    def _note_mishap(self, name: str, now_us: int, word: str) -> None:
        mishap: Feature = (word,)
        if name in self._mishap_us:
            gap_s = (now_us - self._mishap_us[name]) / 1e6
            gap = next((told for limit_s, told in _GAPS_S if gap_s < limit_s), "long after")
            mishap = (*self._mishaps[name], gap, word)
            self.features.update((MISHAP, *mishap[-length:]) for length in (3, 5) if len(mishap) >= length)
        self._mishaps[name] = mishap[-3:]
        self._mishap_us[name] = now_us

    def _around(self, state: NodeState) -> str:
        replay = self._replay
        if not state.faults and replay.master_is_connected:
            return ""
        going_on = sorted(set(state.faults.values()))
        going_on += [] if replay.broker_is_up else ["no broker"]
        going_on += [] if replay.master_is_connected else ["no master"]
        return ", ".join(going_on)


def _doing(state: NodeState) -> str:
    if state.link != "connected":
        return state.link
    return "at work" if state.at_work else "idle"


def never_soon(shown: Iterable[Feature], kinds: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of kinds of which the second never struck within seconds of the first, on one node."""
    met = {
        (words[0].partition(_WHILE)[0], words[2].partition(_WHILE)[0])
        for level, *words in shown
        if level == MISHAP and len(words) == 3 and words[1] in ("at once", "soon")
    }
    return [(first, second) for first in kinds for second in kinds if (first, second) not in met]
