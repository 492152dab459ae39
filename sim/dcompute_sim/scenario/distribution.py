"""Random durations, as `work` and jitters are: fixed, or drawn from one of a few distributions."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from dcompute_sim.rng import Rng
from dcompute_sim.yamlfile.units import DURATION_PATTERN, Duration, format_duration
from dcompute_sim.yamlfile.yaml_model import Model, ShortModel, exactly_one, wrong


class Uniform(Model):
    """Evenly spread between two durations."""

    min: Duration
    max: Duration

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        if self.min > self.max:
            raise wrong("`min` is greater than `max`")
        return self


class Normal(Model):
    """The bell curve, cut off at zero."""

    mean: Duration
    sd: Duration = Field(description="Standard deviation.")


class Exponential(Model):
    """Many short, few long."""

    mean: Duration


class Lognormal(Model):
    """Mostly near the median, with a long tail."""

    median: Duration
    sigma: Annotated[float, Field(gt=0, le=5)] = Field(
        default=0.5, description="Shape: the standard deviation of the logarithm."
    )


class Distribution(ShortModel):
    """A duration, fixed or random. A plain `50ms` is the same as `{constant: 50ms}`."""

    short_schema: ClassVar[dict[str, object]] = {"type": "string", "pattern": DURATION_PATTERN}

    constant: Duration | None = Field(default=None, description="Always the same.")
    uniform: Uniform | None = Field(default=None, description="Evenly spread between two durations.")
    normal: Normal | None = Field(default=None, description="The bell curve, cut off at zero.")
    exponential: Exponential | None = Field(default=None, description="Many short, few long.")
    lognormal: Lognormal | None = Field(
        default=None, description="Mostly near the median, with a long tail; `sigma` is its shape."
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        return value if isinstance(value, (dict, Distribution)) else {"constant": value}

    @model_validator(mode="after")
    def _one(self) -> Distribution:
        exactly_one(self, "constant", "uniform", "normal", "exponential", "lognormal")
        return self

    def short(self) -> object:
        return None if self.constant is None else format_duration(self.constant)

    def draw(self, rng: Rng) -> float:
        """Return one duration in seconds."""
        if self.uniform is not None:
            return rng.uniform(self.uniform.min, self.uniform.max)
        if self.normal is not None:
            return max(0.0, rng.gauss(self.normal.mean, self.normal.sd))
        if self.exponential is not None:
            return rng.expovariate(1 / self.exponential.mean) if self.exponential.mean else 0.0
        if self.lognormal is not None:
            return self.lognormal.median * rng.lognormvariate(0.0, self.lognormal.sigma)
        assert self.constant is not None
        return self.constant
