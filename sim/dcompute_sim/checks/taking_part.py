"""Did every board take part in the run: did it boot, stay up, and reach the broker under the id it has?

Judged of every run with boards, whatever is expected: a board that never came so far makes "held" of anything
else meaningless, and nothing that is expected need look at it.

Rules:

1. A fault explains what a board does while it goes on and for a minute after: programs reset their board when
   they find no network. Of the node itself, or of the broker; faults of others explain nothing.
2. *Never there*: it ran for `_PATIENCE_US` without such a fault, and no broker accepted a CONNECT of it. A
   board that had less time is undecided.
3. *Died*: an error that nobody caught ended its program, and no fault explains it. A program that just ends
   may have left threads and timers behind, and is judged by what these do.
4. *Rebooted in a loop*: it reset itself, or its watchdog did, or MicroPython died, `_LOOP` times without a
   fault that explains it. To wake from deep sleep is no reboot of that kind, nor is an update over the air.
5. *Unknown*: it connects, and never says a status under its node's id. It may be well or not.
6. What a program says that is none of its node's words, and a last will by which nobody learns of its death,
   or not everybody, are named beside what is judged, and so are programs that use one client id: they are why
   other expectations fail. A group whose program means its will so (`will: optional`) is not told of it.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from dcompute.parts import number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.check import CheckOutcome, failed, held, inconclusive, named, of_kinds
from dcompute_sim.checks.history import LIFELESS, is_momentary, is_seen
from dcompute_sim.faults.fault import Seen

_OSERROR = re.compile(r"OSError\((\d+),?\)|\[Errno (\d+)\]")
_PATIENCE_US = 20_000_000
_EXPLAINS_US = 60_000_000
_UPDATE_US = 300_000_000
_LOOP = 3


@dataclass(slots=True)
class _BoardRun:
    """What is known of one board so far."""

    definition: t.NodeDefined
    started: t.NodeStarted | None = None
    connecting: bool = False  # a CONNECT of it was seen
    connected: bool = False  # one was accepted
    is_heard: bool = False  # it has said a status, or the master heard of it
    client_id: str = ""
    keepalive_s: float | None = None
    tcp: bool = False
    running: bool = False
    faults: set[str] = field(default_factory=set)  # that go on
    explained_until_us: int = -1
    well_us: int = 0  # for how long it ran undisturbed before it was connected
    well_since_us: int | None = None
    ended: t.ProgramEnded | None = None
    died: t.ProgramEnded | None = None  # without a fault that explains it
    reboots: list[t.NodeStopped] = field(default_factory=list)  # likewise
    last_line: str = ""
    refusal: str = ""
    booted_us: int = 0
    boot_ran_us: int | None = None  # how long after that its boot.py was seen to run
    will: str = ""  # what is wrong with it: nobody is told by it
    will_misses: str = ""  # likewise: not everybody is
    unread: dict[str, str] = field(default_factory=dict)  # topics it publishes to in vain -> why that is so


def taking_part(trace: Sequence[t.Event]) -> CheckOutcome | None:
    """Judge it; None where no board is in the run."""
    defined = of_kinds({t.NodeDefined}, trace)
    if all(isinstance(event, t.NodeDefined) and event.kind == "python" for event in defined):
        return None
    boards = _Boards()
    for event in of_kinds(_OF_BOARDS, trace):
        boards.note(event)
    return boards.outcome(trace[-1].t_us)


_OF_BOARDS = frozenset(
    {
        t.BootRuns,
        t.BrokerStarted,
        t.BrokerStopped,
        t.ConnectRead,
        t.FaultEnded,
        t.FaultInjected,
        t.LogLine,
        t.NodeConnected,
        t.NodeConnecting,
        t.NodeDefined,
        t.NodeOutput,
        t.NodeStarted,
        t.NodeStatusSeen,
        t.NodeSubscribing,
        t.NodeStopped,
        t.ProgramEnded,
        t.PublishUnread,
        t.StatusPublished,
        t.UpdateStarted,
        t.WireOpened,
    }
)


class _Boards:
    """The boards of a run."""

    def __init__(self) -> None:
        self.of: dict[str, _BoardRun] = {}
        self._broker_is_up = True

    def note(self, event: t.Event) -> None:
        """Take in one event."""
        if isinstance(event, t.NodeDefined):
            if event.kind != "python":
                self.of[event.node] = _BoardRun(event)
            return
        if isinstance(event, t.BrokerStarted | t.BrokerStopped):
            was_up, self._broker_is_up = self._broker_is_up, isinstance(event, t.BrokerStarted)
            for board in self.of.values():
                if was_up != self._broker_is_up:  # it is not the run's beginning
                    board.explained_until_us = event.t_us + _EXPLAINS_US
                self._settle(board, event.t_us)
            return
        name: str = event.who if isinstance(event, t.LogLine) else getattr(event, "node", "")
        known = self.of.get(name)
        if known is not None:
            self._note_of(known, event)
            self._settle(known, event.t_us)

    def _note_of(self, board: _BoardRun, event: t.Event) -> None:
        match event:
            case t.StatusPublished(status=status) | t.NodeStatusSeen(status=status):
                board.is_heard = board.is_heard or status not in LIFELESS  # or else its will was
            case t.NodeConnecting():
                board.connecting = True
            case t.NodeSubscribing() | t.NodeConnected():
                board.connected = True
            case t.ConnectRead():
                board.client_id, board.keepalive_s = event.client_id, event.keepalive_s
                if board.definition.will != "optional":
                    board.will, board.will_misses = event.will, event.will_misses
            case t.PublishUnread(topic=topic, reason=reason):
                board.unread[topic] = reason
            case t.BootRuns():
                board.boot_ran_us = event.t_us - board.booted_us
            case t.WireOpened():
                board.tcp = True
            case t.NodeStarted():
                board.started = board.started or event
                board.running, board.ended = True, None
                board.booted_us, board.boot_ran_us = event.t_us, None
            case t.NodeStopped(why=why, how=how):
                board.running = how == "hang"
                if why not in ("", "deepsleep") and not self._is_explained(board, event.t_us):
                    board.reboots.append(event)
            case t.ProgramEnded(error=error):
                board.ended = event
                if error and not self._is_explained(board, event.t_us):
                    board.died = board.died or event
            case t.FaultInjected(fault=fault, kind=kind) if not is_seen(kind, Seen.HARMLESS):
                board.explained_until_us = event.t_us + _EXPLAINS_US
                if not is_momentary(kind):
                    board.faults.add(fault)
            case t.FaultEnded(fault=fault) if fault in board.faults:
                board.faults.discard(fault)
                board.explained_until_us = event.t_us + _EXPLAINS_US
            case t.UpdateStarted():
                board.explained_until_us = event.t_us + _UPDATE_US
            case t.NodeOutput(text=text) if text.strip():
                board.last_line = text.strip()
            case t.LogLine(text=text) if "refused" in text:
                board.refusal = text

    def _is_explained(self, board: _BoardRun, now_us: int) -> bool:
        return bool(board.faults) or not self._broker_is_up or now_us <= board.explained_until_us

    def _settle(self, board: _BoardRun, now_us: int) -> None:
        """Count the time in which nothing kept it from connecting."""
        if board.well_since_us is not None:
            board.well_us += now_us - board.well_since_us
        is_well = board.running and not board.connected and not board.faults and self._broker_is_up
        board.well_since_us = now_us if is_well else None

    def _twins(self) -> dict[str, list[str]]:
        """Find programs with one client id, of ours those with one node id, in words."""
        by_id: dict[str, list[str]] = {}
        for name, board in self.of.items():
            client_id = board.client_id or ("" if board.definition.foreign else board.definition.id)
            if client_id:
                by_id.setdefault(client_id, []).append(name)
        return {
            f"use one client id, `{client_id}`, for which the broker throws one out for the other": names
            for client_id, names in by_id.items()
            if len(names) > 1
        }

    def outcome(self, end_us: int) -> CheckOutcome:
        """Judge by it."""
        wrong: dict[str, list[str]] = {}
        offending: list[t.Event] = []
        unknown: dict[str, list[str]] = {}
        twins = self._twins()
        asides = dict(twins)
        there = 0
        for name, board in self.of.items():
            self._settle(board, end_us)
            if board.started is None:
                unknown.setdefault("never switched on", []).append(name)
            elif board.died is not None:
                wrong.setdefault(f"died of {_with_remedy(board.died.error)}", []).append(name)
                offending.append(board.died)
            elif len(board.reboots) >= _LOOP:
                why = board.reboots[-1].why
                wrong.setdefault(
                    f"rebooted {number_of(len(board.reboots), 'time')} by itself ({why})", []
                ).append(name)
                offending += board.reboots
            elif not board.connected and board.well_us >= _PATIENCE_US:
                wrong.setdefault(f"never reached the broker: {_how_far(board)}", []).append(name)
                offending.append(board.ended or board.started)
            elif not board.connected:
                unknown.setdefault("not connected yet, and had no 20 s for it", []).append(name)
            elif board.client_id and not board.is_heard:
                unknown.setdefault(_unheard(board), []).append(name)
            else:
                there += 1
                if board.will:
                    will = board.will.replace(name, "{name}")
                    told = f"connected with {will}: when its connection ends nobody is told of its death"
                    asides.setdefault(told, []).append(name)
                elif board.will_misses:
                    asides.setdefault(f"connected with {board.will_misses}", []).append(name)
                if board.keepalive_s is not None and board.keepalive_s != board.definition.keepalive_s:
                    told = f"told the broker a keepalive of {board.keepalive_s:g} s, and is judged by it"
                    asides.setdefault(told, []).append(name)
        figures = {"boards": len(self.of), "there": there, "wrong": len(self.of) - there}
        absent = len(self.of) - there
        if wrong:
            told = f"{absent} of {number_of(len(self.of), 'board')} never came, or did not stay"
            return failed(f"{told}; {_in_words({**wrong, **unknown, **twins})}", offending, figures)
        if unknown:
            told = f"of {absent} of {number_of(len(self.of), 'board')} it is not known"
            return inconclusive(f"{told}; {_in_words({**unknown, **twins})}", figures)
        told = f"{number_of(there, 'board')} booted, and reached the broker"
        return held(f"{told}; {_in_words(asides)}" if asides else told, figures)


def _in_words(found: dict[str, list[str]]) -> str:
    return "; ".join(f"{named(names)} {what}" for what, names in found.items())


def _with_remedy(error: str) -> str:
    """Return what ended a program, and what to do about it where that is a setting of a name of its own."""
    asked = re.search(r"'module' object has no attribute '([A-Z][A-Z0-9_]*)'", error)
    if asked is None:
        return error
    return f"{error}; if it is a setting: `config: {{{asked[1]}: ...}}` of its group"


def _errno_words(line: str) -> str:
    """Say in words what an OSError stands for that a program printed by its number."""
    found = _OSERROR.search(line)
    number = int(found[1] or found[2]) if found else 0
    name = errno.errorcode.get(number)
    return f" ({name}: {os.strerror(number).lower()})" if name else ""


def _unheard(board: _BoardRun) -> str:
    """Tell what is known of one that connects and never says its status."""
    name = board.definition.node
    if board.client_id != name:
        own = board.client_id.replace(name, "{name}")
        what = f"with the client id `{own}`: no status under its node's id (a group may say its `id`)"
    else:
        what = "connected, and no status of it was heard"
    said = "; ".join(f"`{topic}`: {why}".replace(name, "{name}") for topic, why in board.unread.items())
    return f"{what}; it publishes to {said}" if said else what


def _how_far(board: _BoardRun) -> str:
    """Tell how far towards the broker it came."""
    if board.ended is not None:
        started_us = board.started.t_us if board.started is not None else 0
        return f"its program ended {(board.ended.t_us - started_us) / 1e6:.1f} s after power-on"
    if board.refusal:
        return board.refusal
    if board.boot_ran_us is not None:
        ran_s = board.boot_ran_us / 1e6
        told = f"its boot.py still ran {ran_s:.0f} s after power-on, and main.py waits for its end"
        return f"{told}{_last_line(board)}"
    said = _last_line(board)
    if board.connecting:
        return f"no CONNECT of it was accepted{said}"
    if board.tcp:
        return "it opened a TCP connection, and sent no CONNECT"
    return (
        "no connection of it arrived at `config.MQTT_HOST`, port `config.MQTT_PORT` (a group may say its "
        f"program's own address: `broker_at`){said}"
    )


def _last_line(board: _BoardRun) -> str:
    if not board.last_line:
        return ", it printed nothing"
    return f", its last line was `{board.last_line[:60]}`{_errno_words(board.last_line)}"
