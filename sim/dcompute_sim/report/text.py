"""Numbers and events in words, alike in every report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dcompute.parts import noun, printable
from dcompute_sim import trace as t
from dcompute_sim.report.run_report import tag


def seconds(value: float) -> str:
    """Return a duration with three significant digits and a fitting unit: `412 us`, `1.53 ms`, `15.3 s`, `1.5
    h`."""
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


@dataclass(frozen=True)
class ColumnUnit:
    """The one unit of the figures of a table."""

    name: str
    factor: float = 1.0

    @classmethod
    def of(cls, unit: str, values: Iterable[float]) -> ColumnUnit:
        """Return the one that fits: seconds are told in milliseconds where no value reaches ten seconds."""
        return cls("ms", 1e3) if unit == "s" and max(values, default=0) < 10 else cls(unit)

    def text(self, value: float | None) -> str:
        """Return a value of it, without the unit; "" for None."""
        if value is None:
            return ""
        scaled = value * self.factor
        return f"{scaled:.3g}" if 0 < scaled < 1 else _digits(scaled)


def _digits(value: float) -> str:
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def plural(count: int, one: str, many: str = "") -> str:
    """Return `1 node`, `3 nodes`."""
    return f"{count:,} {noun(count, one, many)}"


def listed(words: Iterable[str], most: int = 20) -> str:
    """List them, as in `a, b and 3 more`; `none` when there is nothing."""
    every = list(words)
    told = ", ".join(every[:most])
    return told + (f" and {len(every) - most:,} more" if len(every) > most else "") or "none"


def sentence(text: str) -> str:
    """Return words as a sentence; a name at its beginning stays as it is."""
    first = text.split(" ", 1)[0]
    return f"{text[0].upper()}{text[1:]}." if first.isalpha() else f"{text}."


def counted(counts: Mapping[str, int]) -> str:
    """Return `10 crash, 10 wifi_drop`, by name."""
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))


def event_fields(event: t.Event) -> dict[str, object]:
    """Return the event's own fields that say something, without its time."""
    return {
        name: value
        for name in event.__struct_fields__
        if name != "t_us" and (value := getattr(event, name)) not in ("", None, [], {})
    }


def event_line(event: t.Event) -> str:
    """Return one event as a line: time, name, fields. What nodes said in them cannot move a terminal's
    cursor."""
    fields = " ".join(f"{name}={value}" for name, value in event_fields(event).items())
    return printable(f"{event.t_s:12.6f} s  {tag(event):<17} {fields}".rstrip())
