"""Check: a campaign with a bad version stops before it has done much harm, and undoes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from dcompute.parts import number_of
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive
from dcompute_sim.trace import (
    CampaignEnded,
    CampaignStarted,
    Event,
    FinalNode,
    FinalVersion,
    UpdateStarted,
    UpdateState,
)
from dcompute_sim.yamlfile.units import Fraction

_TOUCHED = ("sending", "staged", "switching", "confirmed", "rolled back")
_GONE = ("", "dead", "offline")


class DamageBelow(Check):
    """A campaign leaves few boards worse off than they were: with a bad version it stops early.

    Of a campaign that was aborted, every board that took anything of the version is damage, and none may run
    it at the end; of one that went through, the boards that do not run the version. Boards that are dead at
    the end are damage in both. More than `share` of all its boards is too much.

    A campaign that is stopped has touched one board at least, which of fewer than 20 is more than the
    default.

    Limit: versions are those that the master was told last.
    """

    name: ClassVar[str] = "damage_below"
    occasion: ClassVar[str] = "a campaign: `updates: [{..., campaign: {}}]`"

    share: Fraction = Field(default=0.05, description="Of the boards of each campaign.")

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        begun = [event for event in trace if isinstance(event, CampaignStarted)]
        if not begun:
            return inconclusive("there was no campaign")
        over = {event.version: event for event in trace if isinstance(event, CampaignEnded)}
        versions = {event.node: event.version for event in trace if isinstance(event, FinalVersion)}
        finals = {event.node: event for event in trace if isinstance(event, FinalNode)}
        unfinished = [campaign.version for campaign in begun if campaign.version not in over]
        if unfinished or not finals:
            return inconclusive(f"the campaign with {', '.join(unfinished) or 'a version'} was not over")
        wrong: list[Event] = []
        worst = total = 0.0
        for campaign in begun:
            nodes = set(campaign.nodes)
            aborted = over[campaign.version].aborted
            took = [
                event
                for event in trace
                if isinstance(event, UpdateState)
                and event.node in nodes
                and event.version == campaign.version
                and event.state in _TOUCHED
            ]
            damage = {node for node in nodes if node not in finals or finals[node].master_status in _GONE}
            if aborted:
                damage |= {event.node for event in took}
                wrong += [e for e in trace if isinstance(e, FinalVersion) and _still(e, campaign)]
            else:
                damage |= {node for node in nodes if versions.get(node) != campaign.version}
            share = len(damage) / max(1, len(nodes))
            worst, total = max(worst, share), total + len(damage)
            if share > self.share:
                starts = (e for e in trace if isinstance(e, UpdateStarted) and e.node in damage)
                wrong.append(next(starts, campaign))
        figures = {"campaigns": len(begun), "aborted": sum(bool(e.aborted) for e in over.values())}
        told = (
            f"{number_of(round(total), 'board')} harmed or touched in vain, {worst:.1%} of a campaign at most"
        )
        if wrong:
            return failed(
                f"{told}; {self.share:.1%} are allowed, and none may keep a version aborted", wrong, figures
            )
        return held(told, figures)


def _still(event: FinalVersion, campaign: CampaignStarted) -> bool:
    return event.node in campaign.nodes and event.version == campaign.version
