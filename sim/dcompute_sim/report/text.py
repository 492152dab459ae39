"""Numbers and events in words, alike in every report."""

from __future__ import annotations

from collections.abc import Mapping

from dcompute_sim import trace as t
from dcompute_sim.report.run_report import tag


def seconds(value: float) -> str:
    """A duration with three significant digits and a fitting unit: `412 us`, `1.53 ms`, `15.3 s`, `1.5 h`."""
    if value < 0:
        return f"-{seconds(-value)}"
    for limit, factor, unit in (
        (1e-3, 1e6, "us"),
        (1.0, 1e3, "ms"),
        (600.0, 1.0, "s"),
        (7200.0, 1 / 60, "min"),
    ):
        if value < limit:
            return f"{_digits(value * factor)} {unit}"
    return f"{_digits(value / 3600)} h"


def measure(value: float, unit: str) -> str:
    """A value in its unit."""
    return seconds(value) if unit == "s" else f"{_digits(value)} {unit}"


def _digits(value: float) -> str:
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def plural(count: int, one: str, many: str = "") -> str:
    """`1 node`, `3 nodes`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def counted(counts: Mapping[str, int]) -> str:
    """`10 crash, 10 wifi_drop`, by name."""
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))


def event_fields(event: t.Event) -> dict[str, object]:
    """The event's own fields that say something, without its time."""
    return {
        name: value
        for name in event.__struct_fields__
        if name != "t_us" and (value := getattr(event, name)) not in ("", None, [], {})
    }


def event_line(event: t.Event) -> str:
    """One event as a line: time, name, fields."""
    fields = " ".join(f"{name}={value}" for name, value in event_fields(event).items())
    return f"{event.t_s:12.6f} s  {tag(event):<17} {fields}".rstrip()
