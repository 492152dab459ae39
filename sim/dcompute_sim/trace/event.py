"""What every event of a trace has."""

from __future__ import annotations

import msgspec


def _tag(class_name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in class_name).lstrip("_")


class Event(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event", tag=_tag, gc=False
):
    """What every event has: when it happened. No event is part of a cycle, so the collector need not look.

    Of what class it is not (`isinstance`, `case`) takes ten times as long as of others, for that is asked of
    msgspec's metaclass. Where most events of a trace pass by, `type(event) is` and a set of types tell.
    """

    t_us: int

    @property
    def t_s(self) -> float:
        """Seconds since the run began."""
        return self.t_us / 1e6
