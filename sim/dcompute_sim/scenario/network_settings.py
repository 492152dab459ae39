"""What lies between a group's nodes and the broker."""

from __future__ import annotations

from pydantic import Field

from dcompute_sim.yamlfile.units import Bandwidth, Duration, Fraction
from dcompute_sim.yamlfile.yaml_model import Model


class NetworkSettings(Model):
    """What lies between a node and the broker."""

    latency: Duration = Field(default=0.002, description="One way, for every byte.")
    jitter: Duration = Field(default=0.0, description="Up to this much is added to the latency, at random.")
    bandwidth: Bandwidth | None = Field(
        default=None, description="Of both directions together; unlimited when left out."
    )
    loss: Fraction = Field(
        default=0.0, description="Share of segments lost; TCP sends them again, so they are late, not gone."
    )


WIRED = NetworkSettings.model_validate({"latency": "500us"})
"""Of a machine beside the broker: a cable."""


class OwnNetwork(Model):
    """A group's own network. Keys left out are those of the scenario's `network`."""

    latency: Duration | None = Field(default=None, description="One way, for every byte.")
    jitter: Duration | None = Field(default=None, description="Added to the latency, at random up to this.")
    bandwidth: Bandwidth | None = Field(default=None, description="Of both directions together.")
    loss: Fraction | None = Field(default=None, description="Share of segments lost.")


def merged(base: NetworkSettings, own: OwnNetwork) -> NetworkSettings:
    """Return `own` where it says something, else `base`."""
    update = {key: value for key, value in own if value is not None}
    return base.model_copy(update=update) if update else base  # frozen: a fleet shares it
