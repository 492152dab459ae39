"""Check: boards end at the version they were to get, or safely at the one before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from dcompute.parts import number_of
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive, named
from dcompute_sim.trace import (
    CampaignEnded,
    CampaignStarted,
    Event,
    FaultEnded,
    FaultInjected,
    FinalNode,
    FinalVersion,
    NodeDefined,
    UpdateStarted,
    UpdateState,
)

_GONE = ("", "dead", "offline")
_SEEN = {"no-main": "refused", "escape": "refused", "too-large": "refused"} | dict.fromkeys(
    ("longer", "altered"), "failed"
)
"""What must come of a version whose package is wrong; one whose program is must be `rolled back`."""
_BACK = "rolled back"
_ENDS = ("confirmed", _BACK, "refused", "failed")


class Updated(Check):
    """Each board that was to be updated runs the new version, or the one before where it must not take it.

    Which of the two is what the scenario declares, never what came of it, and of a new version the master
    must have been told that it stays. A version that is broken, under a wrong key or not above the one that
    runs must leave the board as it was. Of a broken one it must have been seen that it was rolled back, and
    the board must say which one it was; one that is badly packed must have been refused, or given up, and
    never started. No such board may be dead. A campaign that is not aborted reaches all of its boards before
    the run ends. An update that got to its end only when an attack on it was over was not seen to withstand
    it: undecided.

    Limit: the last update of each board counts; the version is the one the master was told last.
    """

    name: ClassVar[str] = "updated"
    occasion: ClassVar[str] = "an update that is offered to a board: an entry under `updates:`"

    group: str | None = Field(default=None, description="Only nodes of this group.")

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        group_of = {event.node: event.group for event in trace if isinstance(event, NodeDefined)}
        last = {
            event.node: event
            for event in trace
            if isinstance(event, UpdateStarted) and self.group in (None, group_of.get(event.node))
        }
        if not last:
            return inconclusive("no update was begun")
        ended = {event.node: event for event in trace if isinstance(event, FinalVersion)}
        finals = {event.node: event for event in trace if isinstance(event, FinalNode)}
        if not ended:
            return inconclusive("the run was not followed to its end", {"boards": len(last)})
        states = {(e.node, e.version): e.state for e in trace if isinstance(e, UpdateState)}
        wrong: list[Event] = []
        old = 0
        for node, update in last.items():
            state = states.get((node, update.version), "")
            refused = update.signed != "right" or update.release <= update.release_before
            kept = refused or bool(update.broken)
            old += kept
            final = finals.get(node)
            if final is None or not final.running or final.master_status in _GONE:
                wrong.append(final or update)
            elif node not in ended or ended[node].version != (update.before if kept else update.version):
                wrong.append(ended.get(node, update))
            elif not kept and state != "confirmed":
                wrong.append(update)
            elif update.broken and not refused:
                due = _SEEN.get(update.broken, _BACK)
                if state != due or (due == _BACK and ended[node].failed != update.version):
                    wrong.append(update)
        aborted = {event.version for event in trace if isinstance(event, CampaignEnded) and event.aborted}
        begun = {(event.node, event.version) for event in trace if isinstance(event, UpdateStarted)}
        boards = set(last)
        for campaign in (event for event in trace if isinstance(event, CampaignStarted)):
            if campaign.version not in aborted and self.group is None:
                missed = [node for node in campaign.nodes if (node, campaign.version) not in begun]
                wrong += [ended.get(node, campaign) for node in missed]
                boards.update(missed)
        figures = {"boards": len(boards), "new": len(last) - old, "old": old, "wrong": len(wrong)}
        if wrong:
            return failed(f"{len(wrong)} of {number_of(len(boards), 'board')} ended wrongly", wrong, figures)
        late = _after_attacks(trace, last)
        if late:
            told = f"{named(late)} got to the end of the update only when the attack on it was over"
            return inconclusive(f"{told}: let it last longer (`for` of update_attack)", figures)
        return held(
            f"{number_of(len(last) - old, 'board')} at the new version, {old} at the one before",
            figures,
        )


def _after_attacks(trace: Sequence[Event], last: Mapping[str, UpdateStarted]) -> list[str]:
    """List boards whose last update ended after an attack that went on when it began, and had ended before
    it.

    Whoever can hold an update up for as long as they like can keep a board from it for ever.
    """
    ended_us = {e.fault: e.t_us for e in trace if isinstance(e, FaultEnded)}
    over_us = {(e.node, e.version): e.t_us for e in trace if isinstance(e, UpdateState) and e.state in _ENDS}
    return [
        attack.node
        for attack in trace
        if isinstance(attack, FaultInjected)
        and attack.kind == "update_attack"
        and (update := last.get(attack.node)) is not None
        and update.t_us < ended_us.get(attack.fault, 0) < over_us.get((attack.node, update.version), 0)
    ]
