"""What comes of testing one property: a row of the table, or the exceptions by which a property says no."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PropertyOutcome(StrEnum):
    PASSED = "passed"
    WARNING = "warning"  # the standard is kept, and a fleet loses messages all the same
    FAILED = "failed"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Row:
    name: str
    outcome: PropertyOutcome
    figure: str = ""  # what was measured, in words
    detail: str = ""  # why it failed or does not apply


class Violation(Exception):
    """The broker broke the property: what was seen, what had to be. `figure`: what was measured anyway."""

    def __init__(self, detail: str, figure: str = "") -> None:
        super().__init__(detail)
        self.figure = figure


class Warned(Exception):
    """The broker is within its rights, and a fleet loses by it: what, and what to set. `figure`: what was
    measured."""

    def __init__(self, detail: str, figure: str) -> None:
        super().__init__(detail)
        self.figure = figure


class NotApplicable(Exception):
    """The property cannot be tested on this target; the message says why."""
