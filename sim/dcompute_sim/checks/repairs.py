"""Check: a node says its status anew when it is told to be gone, and only then."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from dcompute.parts import noun, number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive, of_kinds

_ON_THE_WAY_US = 30_000_000  # at most, to a node on a bad link
_OF_STATUSES = frozenset(
    {
        t.NodeConnecting,
        t.ParticipantDefined,
        t.SaidBack,
        t.SaidGone,
        t.StatusPublished,
        t.StatusRepaired,
        t.WireHeard,
    }
)


class Repairs(Check):
    """Each repair of a status follows a `dead` or `offline` about its node, which was the last that had been
    said of it at some moment of the present connection, and of the last half minute.

    A node that answers each old word of its own, which it hears too, doubles what it says. That a repair
    comes where it has to is judged by its outcome, `retained_consistent`.

    Limit: what others say of a node is heard at the broker model in virtual time only.
    """

    name: ClassVar[str] = "repairs"
    occasion: ClassVar[str] = "a run in virtual time, where the broker model hears every word"

    def judge(self, trace: Sequence[t.Event]) -> CheckOutcome:
        who = t.Participants()
        connecting_us: dict[str, int] = {}
        gone_until_us: dict[str, float] = {}
        needless: list[t.Event] = []
        statuses = repairs = 0
        heard = False
        for event in of_kinds(_OF_STATUSES, trace):
            match event:
                case t.ParticipantDefined():
                    who.add(event)
                case t.NodeConnecting(node=node):
                    connecting_us[node] = event.t_us
                case t.SaidGone(node=node):
                    gone_until_us[node] = math.inf
                case t.SaidBack(node=node) if node in gone_until_us:
                    gone_until_us[node] = event.t_us
                case t.StatusPublished():
                    statuses += 1
                case t.StatusRepaired(node=node):
                    repairs += 1
                    since_us = max(connecting_us.get(node, 0), event.t_us - _ON_THE_WAY_US)
                    if gone_until_us.get(who.owner(node), -1) < since_us:
                        needless.append(event)
                case t.WireHeard():
                    heard = True
        figures = {"statuses": statuses, "repairs": repairs, "needless": len(needless)}
        if not heard:
            return inconclusive("nobody listened at the broker: that is done in virtual time", figures)
        if needless:
            return failed(
                f"{len(needless)} of {number_of(repairs, 'repair')} "
                f"{noun(len(needless), 'was', 'were')} needless",
                needless,
                figures,
            )
        if not statuses:
            return inconclusive("no status was published", figures)
        return held(
            f"{number_of(repairs, 'repair')} among "
            f"{number_of(statuses, 'status', 'statuses')}, none needless",
            figures,
        )
