"""How each node ended: could it be reached, and what did everyone believe of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dcompute_sim import trace as t
from dcompute_sim.checks.check import excused, named, of_kinds
from dcompute_sim.checks.history import LIFELESS, History, NodeStory, history_of

_BACK_US = 5_000_000  # in which a node is connected anew: a pause, and handshakes of which something is lost
_CROSSES_US = 1_000_000
"""In which a word is with the broker, or a WireStalled tells that it is not: half a second of latency, or a
loss that is made good sooner than it would be told of."""


@dataclass(frozen=True, slots=True)
class Ending:
    """A node at the end of the run."""

    node: t.FinalNode
    group: str
    reachable: bool  # running, and neither a fault nor what one left behind keeps its bytes from the broker
    undecided: bool  # went silent so shortly before the end that nobody had to notice yet
    reconnecting: bool  # it runs, and its connection ended so shortly before that a new one was being made
    on_its_way: bool  # what it said last cannot have reached the broker yet, and has not
    mute: bool  # it is connected, and has never said a status under its node's id
    will: str  # what is wrong with its last will, so that nobody is told of its death
    will_misses: str  # likewise, so that not everybody is
    means_its_will: bool  # its program means it so
    forgotten: bool  # the master was told to forget it, and it has not come back since
    retained: t.RetainedStatus | None

    @property
    def judged(self) -> bool:
        """Whether the truth about it can be told, and somebody has to know it."""
        if self.reconnecting or self.on_its_way:
            return False
        return self.reachable or not (self.undecided or (self.will and self.means_its_will))

    @property
    def is_kept(self) -> bool:
        """Whether the broker is to hold the truth about it: not of a death that its will is not meant to
        leave behind, and does not."""
        if self.reachable or not (self.will_misses and self.means_its_will):
            return self.judged
        return self.judged and self.retained is not None and self.accepts(self.retained.status)

    def accepts(self, status: str) -> bool:
        """Say whether `status` is a true belief about this node; of one never heard of, nothing is
        believed, nor of one forgotten."""
        if self.reachable:
            return status == self.node.own_status
        if self.forgotten:
            return status == ""
        return status in LIFELESS or (status == "" and not self.node.inc)


_OF_ENDINGS = frozenset({t.FinalNode, t.NodeForgotten, t.RetainedStatus, t.StatusPublished, t.WireStalled})


_newest: tuple[History, Sequence[Ending]] | None = None


def endings(trace: Sequence[t.Event]) -> Sequence[Ending]:
    """Return the ending of every node that has a final_node event; made once, as the history it is made
    of."""
    global _newest
    history = history_of(trace)
    if _newest is None or _newest[0] is not history:
        _newest = (history, _endings_in(history, trace))
    return _newest[1]


def _endings_in(history: History, trace: Sequence[t.Event]) -> list[Ending]:
    said: dict[str, t.StatusPublished] = {}
    retained: dict[str, t.RetainedStatus] = {}
    stalled: dict[str, t.WireStalled] = {}
    forgotten: dict[str, t.NodeForgotten] = {}
    finals: list[t.FinalNode] = []
    newest: dict[type, dict[str, Any]] = {
        t.StatusPublished: said,
        t.RetainedStatus: retained,
        t.WireStalled: stalled,
        t.NodeForgotten: forgotten,
    }
    for event in of_kinds(_OF_ENDINGS, trace):
        if isinstance(event, t.FinalNode):
            finals.append(event)
        else:
            newest[type(event)][event.node] = event  # type: ignore[attr-defined]  # as all of these have
    return [
        _ending(
            history,
            final,
            retained.get(final.node),
            said.get(final.node),
            stalled.get(final.node),
            forgotten.get(final.node),
        )
        for final in finals
    ]


def _ending(
    history: History,
    final: t.FinalNode,
    retained: t.RetainedStatus | None,
    said: t.StatusPublished | None,
    stalled: t.WireStalled | None,
    forgotten: t.NodeForgotten | None,
) -> Ending:
    story = history.story(final.node)
    silence_s = history.silence_s(final.node)
    mute_since_us = final.t_us  # nothing that it says crosses since then
    if stalled is not None and story.now.is_stalled:
        mute_since_us = stalled.t_us - stalled.missed_us
    given_up = silence_s is not None and mute_since_us + round(silence_s * 1e6) < final.t_us
    return Ending(
        node=final,
        group=story.definition.group if story.definition else "",
        reachable=final.running and not story.silenced and not given_up,
        undecided=_undecided(history, final),
        reconnecting=final.running
        and not final.connected
        and any((life.ended_us or 0) + _BACK_US > final.t_us for life in story.lives),
        on_its_way=final.running
        and final.connected
        and not given_up
        and said is not None
        and said.t_us + _CROSSES_US > mute_since_us
        and not (_is_retained(said, retained) or _was_seen(said, story)),
        mute=final.running and final.connected and not final.own_status and not final.master_status,
        will=story.will,
        will_misses=story.will_misses,
        means_its_will=story.means_its_will,
        forgotten=forgotten is not None and all(seen.t_us <= forgotten.t_us for _, seen in story.seen),
        retained=retained,
    )


def _is_retained(said: t.StatusPublished, retained: t.RetainedStatus | None) -> bool:
    """Say whether the broker holds what was said."""
    return retained is not None and said.status == retained.status and retained.inc in ("", said.inc)


def _was_seen(said: t.StatusPublished, story: NodeStory) -> bool:
    """Say whether the master ever heard it."""
    return any(
        seen.t_us >= said.t_us and seen.status == said.status and seen.inc in ("", said.inc)
        for _, seen in story.seen
    )


def _undecided(history: History, final: t.FinalNode) -> bool:
    silence_s = history.silence_s(final.node)
    last = max((f.start_us for f in history.story(final.node).faults if f.silences), default=None)
    return last is not None and (silence_s is None or last + silence_s * 1e6 > final.t_us)


def left_out(endings: Sequence[Ending], judged: Sequence[Ending]) -> str:
    """Say of how many nodes nobody has to know the truth, or not yet; "" where there are none."""
    known = set(map(id, judged))
    why = Counter(
        "on its way back as the run ended"
        if ending.reconnecting
        else "its last word still on its way as the run ended"
        if ending.on_its_way
        else "silenced so late that nobody had to notice"
        if ending.undecided
        else "its program's last will is as its group means it"
        for ending in endings
        if id(ending) not in known
    )
    return excused(why, len(judged))


def about_wills(wrong: Sequence[Ending]) -> str:
    """Say for want of which last wills nothing true is known of these; "" if that is not why."""
    of: dict[str, list[str]] = {}
    for ending in wrong:
        if not ending.reachable and (will := ending.will or ending.will_misses):
            of.setdefault(will, []).append(ending.node.node)
    return "".join(f"; {named(nodes)} connected with {will}" for will, nodes in of.items())


def about_mute(judged: Sequence[Ending]) -> str:
    """Say of which nodes nothing can be known, and why; "" if of none."""
    mute = [ending.node.node for ending in judged if ending.mute]
    what = "it connects, and says" if len(mute) == 1 else "they connect, and say"
    told = f"of {named(mute)} nothing is known: {what} no status under a node's id"
    return f"{told} (a group may say its `id`)" if mute else ""
