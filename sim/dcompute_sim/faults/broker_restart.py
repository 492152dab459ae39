"""Fault: the broker restarts."""

from __future__ import annotations

import random
from typing import Literal

from pydantic import Field

from dcompute_sim.faults.effects import FIN, REFUSED, RST
from dcompute_sim.faults.fault import BrokerFault, Steps
from dcompute_sim.faults.injection import Injection
from dcompute_sim.yamlfile.units import Duration


class BrokerRestart(BrokerFault):
    """The broker stops and starts again."""

    effects = frozenset({FIN, RST, REFUSED})
    unseen = "nobody had a connection to it, nor tried to make one"

    kind: Literal["broker_restart"]
    memory: Literal["keep", "lose"] = Field(
        default="keep", description="Whether retained messages and kept sessions survive."
    )
    heal_after: Duration = Field(default=1.0, alias="for", description="How long it is away.")

    def inject(self, act: Injection) -> Steps:
        return act.broker_away(keep_memory=self.memory == "keep")

    def details(self) -> str:
        return f"memory: {self.memory}"

    @classmethod
    def draw(cls, rng: random.Random, left_s: float) -> dict[str, object]:
        return {"memory": rng.choice(["keep", "lose"])}
