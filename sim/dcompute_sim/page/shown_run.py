"""A run as the page asks for it: its pictures, the state at a moment, events, what was searched, the verdict.

Everything here is plain data for JSON. A saved trace is whole from the start; of a run that goes on, `grow`
takes in what has come since, and says what is new in the pictures.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import msgspec

from dcompute.parts import printable
from dcompute_sim import trace as t
from dcompute_sim.brokers.model.broker_history import BrokerHistory, HeldMemory
from dcompute_sim.page.broker_panel import IN_REAL_TIME, BrokerSource, panel, session_words, summary
from dcompute_sim.page.index import StepTo, TraceIndex, TraceState, node_of
from dcompute_sim.report.columns import changes, columns
from dcompute_sim.report.console import WORD
from dcompute_sim.report.run_report import RunReport, tag
from dcompute_sim.report.text import event_fields, listed, plural, seconds, sentence
from dcompute_sim.report.timeline import DRAWN, TimelineBuilder
from dcompute_sim.report.why import why
from dcompute_sim.trace.replayer import NodeState
from dcompute_sim.trace.traffic import Traffic

AROUND = 40  # events shown about a moment
MOST_UNDER_WAY = 100  # messages listed
MAX_FOUND = 300
MOST_WORK = 100_000  # tasks drawn of a run that is over


@dataclass(frozen=True, slots=True)
class Facts:
    """What is said of a run beside its pictures."""

    name: str
    description: str
    started: t.RunStarted


class ShownRun:
    """One run of the page.

    Args:
        events: its trace; may grow at its end while the run goes on.
        report: the judged run, once it is over.
        broker: what the broker held.
    """

    def __init__(
        self,
        facts: Facts,
        events: Sequence[t.Event],
        report: RunReport | None = None,
        broker: BrokerSource = lambda: IN_REAL_TIME,
    ) -> None:
        self._broker = broker
        self._facts = facts
        self._events = events
        self._builder = TimelineBuilder()
        self._participants = t.Participants()
        self.report = report
        self.now_us = 0
        self.index = TraceIndex(events)
        self.over = False
        self.grow()
        if report is not None:
            self.finish(report)

    # --- growing ----------------------------------------------------------------------------------------

    def grow(self, until_us: int | None = None) -> None:
        """Take in the events that have come since, at most those up to a time."""
        for position in self.index.extend(until_us):
            event = self._events[position]
            if type(event) in DRAWN:
                self._builder.add(position, event)
            elif isinstance(event, t.ParticipantDefined):
                self._participants.add(event)
        self.now_us = self.index.end_us if until_us is None else max(self.index.end_us, until_us)

    def changes(self) -> dict[str, object]:
        """Return what is new in the pictures since the last call."""
        return {"now": self.now_us, "events": len(self.index), **changes(self._builder.line)}

    def finish(self, report: RunReport) -> None:
        """Complete the picture of the run, which is over and judged."""
        self.report = report
        self.grow()
        self._builder.finish(self.index.end_us)
        self.over = True

    # --- what is asked ----------------------------------------------------------------------------------

    def about(self) -> dict[str, object]:
        """Return the run in words, and its verdict if there is one."""
        started = self._facts.started
        facts = [
            f"{started.time} time",
            f"broker {started.broker}",
            f"seed {started.seed}",
            *(f"mutant {name}" for name in started.mutants),
        ]
        about: dict[str, object] = {
            "name": self._facts.name,
            "description": self._facts.description,
            "facts": facts,
            "over": self.over,
            "end": self.index.end_us,
            "events": len(self.index),
            "verdict": None,
        }
        if self.report is not None:
            totals = self.report.totals
            about["facts"] = [
                plural(totals.nodes, "node"),
                plural(totals.tasks, "task"),
                plural(totals.faults.total(), "fault"),
                plural(totals.deaths, "reported death"),
                seconds(self.report.simulated_s),
                *facts,
            ]
            about["replay"] = self.report.replay
            about["verdict"] = self._verdict
        return about

    @cached_property
    def _verdict(self) -> dict[str, object]:
        report = self.report
        assert report is not None
        positions = self._positions(
            event for result in report.verdict.results for event in result.outcome.offending
        )
        return {
            "status": report.verdict.status.value,
            "word": WORD[report.verdict.status],
            "results": [
                {
                    "name": result.name,
                    "parameters": result.parameters,
                    "description": result.description,
                    "status": result.outcome.status.value,
                    "word": WORD[result.outcome.status],
                    "summary": printable(result.outcome.summary),
                    "why": [printable(sentence(reason)) for reason in why(report.events, result)],
                    "events": [
                        self._event(positions[id(event)])
                        for event in result.outcome.offending
                        if id(event) in positions
                    ],
                }
                for result in report.verdict.results
            ],
        }

    def _positions(self, wanted: Iterable[t.Event]) -> dict[int, int]:
        """Return where events stand in the trace; an event is known by being the same object."""
        ids = {id(event) for event in wanted}
        return {id(event): at for at, event in enumerate(self._events) if id(event) in ids} if ids else {}

    def picture(self) -> bytes:
        """Return the lanes as they are now, as JSON."""
        return self._last_picture if self.over else self._picture(None)

    @cached_property
    def _last_picture(self) -> bytes:
        return self._picture(MOST_WORK)

    def _picture(self, most_work: int | None) -> bytes:
        picture = columns(self._builder.line, most_work)
        now = {"end": max(self.index.end_us, self.now_us), "events": len(self.index)}
        return msgspec.json.encode({**picture, **now})

    def state(
        self, position: int, node: str = "", t_us: int | None = None, *, sessions: bool = False
    ) -> dict[str, object]:
        """Return what everyone was and held after the event at this position, and the events about it.

        Args:
            node: tell more of this one, and show its events only.
            t_us: how long after it; the broker may have done something since.
            sessions: tell also what the broker holds of each client, and what it retains.
        """
        moment = self.index.moment(position)
        replay, traffic = moment.replay, moment.traffic
        at_us = self._events[moment.position].t_us if moment.position >= 0 else 0
        held = self._held(moment.position, at_us if t_us is None else t_us)
        under_way = Counter(to for to, _ in traffic.tasks.values())
        under_way.update(sender for sender, _ in traffic.results.values())
        names = [defined.node for defined in self._builder.line.nodes]
        states = [replay.nodes.get(name, _NOTHING) for name in names]
        return {
            "position": moment.position,
            "of": len(self.index),
            "t": at_us,
            "held": held
            if not isinstance(held, HeldMemory)
            else panel(held, node)
            if sessions
            else summary(held),
            "broker": {
                "up": replay.broker_is_up,
                "connections": sum(map(len, traffic.connections.values())),
                "retained": dict(Counter(traffic.retained.values())),
                "tasks": len(traffic.tasks),
                "results": len(traffic.results),
                "dropped": sum(traffic.dropped.values()),
            },
            "master": {"connected": replay.master_is_connected},
            "under_way": _under_way(traffic),
            "faults": replay.nodes[""].faults if "" in replay.nodes else {},
            "nodes": {
                "link": [state.link for state in states],
                "believed": [state.status for state in states],
                "waiting": [len(state.waiting) for state in states],
                "at_work": [len(state.at_work) for state in states],
                "under_way": [under_way[name] for name in names],
                "connections": [len(traffic.connections.get(name, ())) for name in names],
                "faults": [_on(state) for state in states],
            },
            "others": [
                [name, self._participants.role(name).value, len(open_)]
                for name, open_ in traffic.connections.items()
                if self._participants.role(name) is not t.Role.NODE
            ],
            "node": self._of_node(moment, node, held) if node else None,
            "log": [self._event(at) for at in self.index.around(moment.position, AROUND // 2, AROUND, node)],
        }

    def _held(self, position: int, t_us: int) -> HeldMemory | str | None:
        known = self._broker()
        return known.at(position + 1, t_us) if isinstance(known, BrokerHistory) else known

    def _of_node(self, moment: TraceState, name: str, held: HeldMemory | str | None) -> list[tuple[str, str]]:
        state, traffic = moment.replay.nodes.get(name, _NOTHING), moment.traffic
        to = [task for task, (node, _) in traffic.tasks.items() if node == name]
        by = [task for task, (node, _) in traffic.results.items() if node == name]
        open_ = traffic.connections.get(name, ())
        told = [
            ("its program", state.link + (f" as {state.inc}" if state.inc else "")),
            ("the master believes", state.status or "nothing yet"),
            ("the broker retains", traffic.retained.get(name, "nothing")),
            ("connections", ", ".join(map(str, open_)) or "none"),
            ("at work on", ", ".join(sorted(state.at_work)) or "nothing"),
            ("waiting there", listed(f"{it.task} ({it.priority})" for it in state.waiting)),
            ("tasks under way to it", listed(to)),
            ("results under way", listed(by)),
        ]
        if state.is_stalled:
            told.append(("its link", "a silence holds its connection up"))
        if isinstance(held, HeldMemory):
            told.append(("its session", session_words(held, name)))
        elif traffic.dropped[name]:
            told.append(("dropped for it", plural(traffic.dropped[name], "message")))
        told += [("fault", f"{kind} ({fault})") for fault, kind in state.faults.items()]
        return told

    def step(self, position: int, by: Literal[-1, 1], to: StepTo, node: str) -> int:
        """Return the next position of the kind asked for, or the previous."""
        return self.index.step(position, by, to, node)

    def found(self, text: str) -> dict[str, object]:
        """Return the events in whose line of the trace a text stands, whatever its case."""
        wanted = text.lower().encode()
        found: list[int] = []
        count = 0
        for at in range(len(self.index)):
            if wanted in t.encode_event(self._events[at]).lower():
                count += 1
                if count <= MAX_FOUND:
                    found.append(at)
        return {"count": count, "events": [self._event(at) for at in found]}

    def _event(self, at: int) -> dict[str, object]:
        event = self._events[at]
        said = event_fields(event)
        node = said.pop("node", said.pop("who", ""))
        return {
            "position": at,
            "t": event.t_us,
            "what": tag(event),
            "node": printable(str(node)),
            "lane": node_of(event) in self._builder.lanes,
            "text": printable(" ".join(f"{name}={value}" for name, value in said.items())),
        }


_NOTHING = NodeState()  # of whom nothing is told yet; never changed


def _under_way(traffic: Traffic) -> list[tuple[str, str, int]]:
    """Return the messages that are under way: what, from or to which node, since when in us; the oldest
    first."""
    every = [(f"task {task}", node, since) for task, (node, since) in traffic.tasks.items()]
    every += [(f"result of {task}", node, since) for task, (node, since) in traffic.results.items()]
    return heapq.nsmallest(MOST_UNDER_WAY, every, key=lambda message: message[2])


def _on(state: NodeState) -> str:
    kinds = list(dict.fromkeys(state.faults.values()))
    return ", ".join(kinds + ["stalled"] * state.is_stalled)
