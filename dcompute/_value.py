"""Small values that are made anew for each message and each event.

What `dataclass(frozen=True)` makes writes field by field through `object.__setattr__`: a message that is
decoded, told to an observer and written to a trace is five such values, and a twentieth of a simulated run
went there. So these are dataclasses that only type checkers keep from being changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """Make a dataclass with slots of `cls`, hashed by its fields: to type checkers a frozen one."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
