"""What all models of the scenario language share: frozen, no unknown keys, strict scalars, random draws."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    Strict,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from dcompute_sim.rng import Dice
from dcompute_sim.units import DURATION_PATTERN, Duration, format_duration

Count = Annotated[int, Strict(), Field(ge=1, le=100_000)]
Flag = Annotated[bool, Strict()]
Text = Annotated[str, Field(min_length=1, max_length=10_000)]
Scalar = str | int | float | bool | None


class Model(BaseModel):
    """A mapping of the scenario file. YAML keys that are Python keywords (`for`) are aliases."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )


class ShortModel(Model):
    """A mapping with a short form, such as `50ms` for `{constant: 50ms}`; dumped in it when that says all."""

    short_schema: ClassVar[dict[str, Any]]

    def short(self) -> Any:
        """The short form; None when only the mapping says it all."""
        raise NotImplementedError

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> Any:
        short = self.short()
        return handler(self) if short is None else short

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        reference = handler(schema)
        target = handler.resolve_ref_schema(reference)
        mapping = dict(target)
        target.clear()
        target["description"] = mapping.pop("description", "")
        target["anyOf"] = [cls.short_schema, mapping]
        return reference


def wrong(message: str) -> PydanticCustomError:
    """A validation error whose message is exactly `message`."""
    return PydanticCustomError("scenario", "{problem}", {"problem": message})


def exactly_one(model: Model, *keys: str) -> str:
    """The one of `keys` that is set; complains when none or several are."""
    given = [key for key in keys if getattr(model, key) is not None]
    if len(given) != 1:
        names = ", ".join(f"`{key}`" for key in keys)
        found = " and ".join(f"`{key}`" for key in given) if given else "none"
        raise wrong(f"exactly one of {names} is needed; found {found}")
    return given[0]


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

    short_schema: ClassVar[dict[str, Any]] = {"type": "string", "pattern": DURATION_PATTERN}

    constant: Duration | None = Field(default=None, description="Always the same.")
    uniform: Uniform | None = Field(default=None, description="Evenly spread between two durations.")
    normal: Normal | None = Field(default=None, description="The bell curve, cut off at zero.")
    exponential: Exponential | None = Field(default=None, description="Many short, few long.")
    lognormal: Lognormal | None = Field(
        default=None, description="Mostly near the median, with a long tail; `sigma` is its shape."
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return value if isinstance(value, (dict, Distribution)) else {"constant": value}

    @model_validator(mode="after")
    def _one(self) -> Distribution:
        exactly_one(self, "constant", "uniform", "normal", "exponential", "lognormal")
        return self

    def short(self) -> Any:
        return None if self.constant is None else format_duration(self.constant)

    def draw(self, rng: Dice) -> float:
        """One duration in seconds."""
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
