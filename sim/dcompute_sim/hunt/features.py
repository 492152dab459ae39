"""What is remarkable in a run, as a set of small tuples of words by which runs are compared.

Rules:

* Of each node there are four stories: its own, what the broker saw of its wire, what the master made of it,
  and what whoever asked was told. Names, tasks, incarnations and times are left out: what counts is what kind
  of thing happened.
* A `step` is two events that followed one another in a story, faults left out; of these there are some
  hundreds, so a search comes to an end of them.
* A `path` is two or three that followed one another, each with what was going on then: the kinds of fault at
  the node, whether the broker was down and the master away. Faults are events here, and they, the stops and
  the starts of broker and master are in all stories, for they happen to everybody. Work that goes as usual is
  left out.
* A `mishap` is two or three faults that followed one another at a node or its broker, each with what the node
  was doing, and how long after the one before (`_GAPS_S`), whatever happened in between.
* An `end` is how two to four connections of a node in a row ended: how far each had come, and what ended it.
  Four rare events in a row are met by way of two and three of them, so these are remembered as well.

Rejected: counts of each step, in buckets. They told more of how much work a run had than of what befell it.
Rejected: one story a node. Which of node, broker and master was the quicker is mostly chance: after 500 seeds
43 of 100 runs still showed two events in a row that no other had shown, where told apart 5 of 100 did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dcompute_sim import trace as t
from dcompute_sim.trace.replayer import NodeState, Replay

Feature = tuple[str, ...]
"""Its level and the words of its events."""

STEP, PATH, MISHAP, END = "step", "path", "mishap", "end"
LEVELS = (STEP, PATH, MISHAP, END)
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
    t.LoopLagged,
    t.BrokerLagged,
    t.NodeMemory,
    t.NodeOutput,
    t.WireHeard,
)
_ROUTINE = frozenset(
    {
        t.TaskSent,
        t.TaskHeard,
        t.TaskReceived,
        t.TaskTaken,
        t.ExecutionBegan,
        t.TaskFinished,
        t.ResultHeld,
        t.ResultReceived,
        t.ResultTaken,
        t.TaskSettled,
        t.StatusPublished,
        t.NodeStatusSeen,
        t.WireOpened,
        t.WireClosed,
    }
)
_FAULTS = (t.FaultInjected, t.FaultEnded)
_FOR_ALL = (t.BrokerStopped, t.BrokerStarted, t.MasterStopped, t.MasterStarted)
_ENDS = {t.NodeDisconnected: "lost", t.NodeConnectFailed: "failed", t.NodeStopped: "stopped"}
_TOLD_BY = {
    "node_events": "node",
    "wire_events": "broker",
    "fault_events": "broker",
    "api_events": "asker",
    "executor_events": "asker",
}
_STORIES = ("node", "broker", "master", "asker")
_WORDS = {
    kind: tuple(key for key in _TELLING if key in kind.__struct_fields__)
    for kind in t.EVENT_TYPES
    if kind not in _FACTS
}
_STORY: dict[type[t.Event], str] = {
    kind: _TOLD_BY.get(kind.__module__.rpartition(".")[2], "master") for kind in _WORDS
}
_IN_STORIES = {
    kind: _STORIES if kind in (*_FAULTS, *_FOR_ALL) else (told_by,) for kind, told_by in _STORY.items()
}


def features(events: Iterable[t.Event]) -> frozenset[Feature]:
    """Return what a trace shows."""
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
        self._steps: dict[tuple[str, str], str] = {}  # by node and story: the newest event
        self._paths: dict[tuple[str, str], Feature] = {}  # the newest two, in their circumstances
        self._mishaps: dict[str, Feature] = {}  # by node: the newest two
        self._mishap_us: dict[str, int] = {}
        self._ends: dict[str, Feature] = {}  # by node: the newest three

    def add(self, event: t.Event) -> None:
        kind = type(event)
        if kind not in _WORDS:
            return
        word = self._word(event)
        if word:
            node = getattr(event, "node", "")
            if kind in _FOR_ALL or (kind is t.FaultInjected and not node):
                for name in ["", *filter(None, self._replay.nodes)]:
                    self._note(name, event, word)
            else:
                self._note(node, event, word)
        self._replay.take_in(event)

    def _word(self, event: t.Event) -> str:
        match event:
            case t.FaultInjected(fault=fault, kind=kind, not_done=not_done):
                self._kinds[fault] = kind
                return "" if not_done else kind
            case t.FaultEnded(fault=fault):
                return f"end of {self._kinds[fault]}"
            case t.BrokerStopped(kept_memory=kept):
                return "broker stops" if kept else "broker stops and forgets"
        name, told = type(event).__name__, _WORDS[type(event)]
        return " ".join([name, *(str(getattr(event, key)) for key in told)]) if told else name

    def _note(self, name: str, event: t.Event, word: str) -> None:
        kind = type(event)
        state = self._replay.nodes[name]
        if kind is t.FaultInjected:
            self._note_mishap(name, event.t_us, f"{word}{_WHILE}{_doing(state)}" if name else word)
        how = _ENDS.get(kind)
        if how is not None and state.link not in ("off", "disconnected"):
            ends = (*self._ends.get(name, ()), f"{state.link} {how}")
            self._grams(END, ends)
            self._ends[name] = ends[-3:]
        if kind not in _FAULTS:
            told_by = (name, _STORY[kind])
            before = self._steps.get(told_by)
            if before is not None:
                self.features.add((STEP, before, word))
            self._steps[told_by] = word
        around = self._around(state)
        if around or kind not in _ROUTINE:
            word = f"{word} ({around})" if around else word
            for story in _IN_STORIES[kind]:
                path = (*self._paths.get((name, story), ()), word)
                self._grams(PATH, path)
                self._paths[name, story] = path[-2:]

    def _grams(self, level: str, words: Feature) -> None:
        """Take the last two of these words for a feature, the last three, and so on."""
        self.features.update((level, *words[-length:]) for length in range(2, len(words) + 1))

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
    """List pairs of kinds of which the second never struck within seconds of the first, on one node."""
    met = set(kinds_met(shown))
    return [(first, second) for first in kinds for second in kinds if (first, second) not in met]


def kinds_met(shown: Iterable[Feature]) -> Iterator[tuple[str, str]]:
    """Yield the kinds of two faults of which the second struck within seconds of the first, on one node; once
    for each two states and each gap."""
    for level, *words in shown:
        if level == MISHAP and len(words) == 3 and words[1] in ("at once", "soon"):
            yield words[0].partition(_WHILE)[0], words[2].partition(_WHILE)[0]


def rows_met(shown: Iterable[Feature]) -> Iterator[tuple[str, ...]]:
    """Yield how far connections of a node in a row had come when they ended; once for each ways to end."""
    for level, *words in shown:
        if level == END:
            yield tuple(word.partition(" ")[0] for word in words)
