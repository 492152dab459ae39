"""Fault: the broker turns a node away."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dcompute_sim.faults.effects import Effect
from dcompute_sim.faults.fault import For, NodeFault, Seen, Steps
from dcompute_sim.faults.injection import Answer, Injection

TURNED_AWAY = Effect("turned away")


class TurnedAway(NodeFault):
    """The broker ends the node's connection, and grants it no other one that is of use."""

    seen = Seen.CLOSED
    effects = frozenset({TURNED_AWAY})
    unseen = "the node did not try to connect"
    remedy = "a longer `for`, or `sure: true`"
    drawn = False  # access rules and load balancers are somebody's, not chance's

    kind: Literal["turned_away"]
    answer: Answer = Field(
        default="connack",
        description="`connack`: CONNECT is refused (server unavailable). `suback`: the connection is "
        "accepted, every subscription refused, as by access rules. `none`: TCP accepts, and nobody says a "
        "word, as behind a load balancer without a broker; whoever waits there is not let in afterwards.",
    )
    heal_after: For

    def inject(self, act: Injection) -> Steps:
        link = act.link
        link.turn_away(self.answer, lambda: act.effect(TURNED_AWAY, f"turned away ({self.answer})"))
        link.reset_connections()
        return act.lasting(link.let_in)

    def details(self) -> str:
        return f"answer: {self.answer}"
