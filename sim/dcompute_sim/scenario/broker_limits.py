"""What a scenario asks of its broker's limits, instead of the broker's defaults."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dcompute_sim.yamlfile.units import Size
from dcompute_sim.yamlfile.yaml_model import Model

Amount = Annotated[int, Field(strict=True, ge=0, le=10_000_000)]


class BrokerLimits(Model):
    """Limits of the broker; 0 is none. Keys left out are the broker's defaults."""

    in_flight: Amount | None = Field(
        default=None, description="QoS 1 and 2 messages that a client may leave unacknowledged."
    )
    queued: Amount | None = Field(
        default=None, description="Messages that wait for one client; what comes beyond is dropped."
    )
    packet: Size | None = Field(
        default=None, description="The largest packet; who sends a larger one is thrown out."
    )


AS_IT_COMES = BrokerLimits()
"""The broker's defaults."""
