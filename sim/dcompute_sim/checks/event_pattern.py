"""Which events of a trace an expectation speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from pydantic import Field, field_validator, model_validator

from dcompute_sim.checks.check import Check
from dcompute_sim.trace import EVENT_TYPES, Event

_EVENTS: dict[str, type[Event]] = {str(cls.__struct_config__.tag): cls for cls in EVENT_TYPES}


class EventPattern(Check):
    """An expectation about events of one kind."""

    event: str = Field(description="Name of a trace event, such as `result_duplicate`.")
    where: dict[str, str | int | float | bool] = Field(
        default={}, description="Only when these fields of the event have these values."
    )

    @field_validator("event")
    @classmethod
    def _known(cls, event: str) -> str:
        if event not in _EVENTS:
            raise ValueError(f"`{event}` is not a trace event; there are: {', '.join(sorted(_EVENTS))}")
        return event

    @model_validator(mode="after")
    def _fields(self) -> EventPattern:
        fields = _EVENTS[self.event].__struct_fields__
        for key in self.where:
            if key not in fields:
                raise ValueError(f"`{self.event}` has no field `{key}`; it has: {', '.join(fields)}")
        return self

    def found(self, trace: Sequence[Event]) -> list[Event]:
        """Return the events that are meant."""
        kind = _EVENTS[self.event]
        return [
            event
            for event in trace
            if type(event) is kind
            and all(is_wanted(getattr(event, key), value) for key, value in self.where.items())
        ]


def is_wanted(found: object, wanted: object) -> bool:
    """Say whether a field is as wanted (of a list: one of it); in a text `*` stands for anything."""
    if isinstance(found, list):
        return any(is_wanted(each, wanted) for each in found)
    if isinstance(wanted, str) and "*" in wanted:
        return isinstance(found, str) and fnmatchcase(found, wanted)
    return found == wanted
