"""Check: this must have happened at least once, or the run did not test what it is for."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import ClassVar

from pydantic import Field, field_validator, model_validator

from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive
from dcompute_sim.trace import EVENT_TYPES, Event, RunEnded

_EVENTS: dict[str, type[Event]] = {str(cls.__struct_config__.tag): cls for cls in EVENT_TYPES}


class Sometimes(Check):
    """An event happened at least so many times.

    A run that did not come to its end is undecided, for it might still have happened. Limit: says that it
    happened, not that it was right; it guards the other expectations against a run in
    which nothing they speak of occurred.
    """

    name: ClassVar[str] = "sometimes"
    occasion: ClassVar[str] = "a run that comes to its end"

    event: str = Field(description="Name of a trace event, such as `result_duplicate`.")
    where: dict[str, str | int | float | bool] = Field(
        default={}, description="Only when these fields of the event have these values."
    )
    at_least: int = Field(default=1, ge=1, description="How often, at least.")

    @field_validator("event")
    @classmethod
    def _known(cls, event: str) -> str:
        if event not in _EVENTS:
            raise ValueError(f"`{event}` is not a trace event; there are: {', '.join(sorted(_EVENTS))}")
        return event

    @model_validator(mode="after")
    def _fields(self) -> Sometimes:
        fields = _EVENTS[self.event].__struct_fields__
        for key in self.where:
            if key not in fields:
                raise ValueError(f"`{self.event}` has no field `{key}`; it has: {', '.join(fields)}")
        return self

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        kind = _EVENTS[self.event]
        count = sum(
            type(event) is kind and all(_is(getattr(event, key), value) for key, value in self.where.items())
            for event in trace
        )
        told = f"{self.event} happened {count} times ({self.at_least} needed)"
        figures = {"count": count, "at_least": self.at_least}
        if count >= self.at_least:
            return held(told, figures)
        if not (trace and isinstance(trace[-1], RunEnded) and trace[-1].reason == "finished"):
            return inconclusive(f"{told}, in a run that did not come to its end", figures)
        return failed(told, [], figures)


def _is(found: object, wanted: object) -> bool:
    """Whether a field is as wanted; in a text `*` stands for anything."""
    if isinstance(wanted, str) and "*" in wanted:
        return isinstance(found, str) and fnmatchcase(found, wanted)
    return found == wanted
