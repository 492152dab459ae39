"""Fault: a link gets slow."""

from __future__ import annotations

import random
from typing import Literal

from pydantic import Field, model_validator

from dcompute_sim.faults.effects import Effect
from dcompute_sim.faults.fault import MORE_TO_SAY, For, NodeFault, Seen, Steps
from dcompute_sim.faults.injection import LOOK_S, Injection
from dcompute_sim.yamlfile.units import Bandwidth, Duration, format_bandwidth, format_duration
from dcompute_sim.yamlfile.yaml_model import wrong

SLOWED = Effect("slowed")


class SlowLink(NodeFault):
    """The link gets slow."""

    # One that becomes slower by half a keepalive ends the connection: the broker then hears nothing for
    # longer than 1.5 of them.
    seen = Seen.DELAY
    effects = frozenset({SLOWED})
    unseen, remedy = "nothing crossed while it was slow", MORE_TO_SAY
    needs_connection = False

    kind: Literal["slow_link"]
    latency: Duration | None = Field(default=None, description="One way, instead of the usual.")
    jitter: Duration | None = Field(default=None, description="Instead of the usual.")
    bandwidth: Bandwidth | None = Field(
        default=None, description="Of both directions together, instead of the usual."
    )
    heal_after: For

    @model_validator(mode="after")
    def _slow(self) -> SlowLink:
        if self.latency is None and self.jitter is None and self.bandwidth is None:
            raise wrong("say what is slow: `latency`, `jitter` or `bandwidth`")
        return self

    def inject(self, act: Injection) -> Steps:
        link = act.link
        link.slow(self.latency, self.jitter, self.bandwidth)
        before = link.crossings()
        if act.for_ever:
            while link.crossings() == before:
                yield act.env.timeout(1.0)
        else:
            yield act.time_up()
            while self.sure and link.crossings() == before and act.env.now < act.over_s:
                yield act.env.timeout(LOOK_S)
        crossed = link.crossings() - before
        if crossed:
            act.effect(SLOWED, f"slowed {crossed} crossings")
        if not act.for_ever:
            act.ended()
            link.restore()

    def details(self) -> str:
        said = [] if self.latency is None else [f"latency {format_duration(self.latency)}"]
        said += [] if self.jitter is None else [f"jitter {format_duration(self.jitter)}"]
        said += [] if self.bandwidth is None else [format_bandwidth(self.bandwidth)]
        return ", ".join(said)

    @classmethod
    def draw(cls, rng: random.Random, left_s: float) -> dict[str, object]:
        return {"latency": format_duration(round(rng.uniform(0.2, 3), 3))}
