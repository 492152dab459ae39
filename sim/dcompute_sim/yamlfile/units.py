"""Quantities with mandatory units, as files write them: `10s`, `64KiB`, `20/s`, `50%`.

A bare number is refused, with a message that says what to write: "10" may be seconds or milliseconds, and a
testbed that guesses wrong proves the wrong thing. Each type here is a pydantic-annotated float or int in base
units (seconds, bytes, per second, 0..1) that serialises back to text: a dumped model loads again unchanged.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "kB": 1000, "KB": 1000, "KiB": 1024, "MB": 1000**2, "MiB": 1024**2, "GiB": 1024**3}
_BITS = {"bit": 1, "kbit": 1000, "Mbit": 1000**2, "Gbit": 1000**3}
_PER = {"s": 1.0, "min": 60.0, "h": 3600.0}


def _either(units: dict[str, Any]) -> str:
    return "|".join(sorted(units, key=lambda unit: (-len(unit), unit)))


DURATION_PATTERN = rf"^{_NUMBER} ?(?:{_either(_SECONDS)})(?: ?{_NUMBER} ?(?:{_either(_SECONDS)}))*$"
SIZE_PATTERN = rf"^{_NUMBER} ?(?:{_either(_BYTES)})$"
RATE_PATTERN = rf"^{_NUMBER} ?/ ?(?:{_either(_PER)})$"
BANDWIDTH_PATTERN = rf"^{_NUMBER} ?(?:{_either(_BYTES)}|{_either(_BITS)})/s$"
FRACTION_PATTERN = rf"^{_NUMBER} ?%$"
_DURATION_PART = re.compile(rf"({_NUMBER}) ?({_either(_SECONDS)})")
_AMOUNT = re.compile(rf"^({_NUMBER}) ?/? ?(.+)$")


class UnitError(ValueError):
    """A quantity without a unit, or with one that does not fit; the message says what to write."""


def _text(value: object, pattern: str, what: str, bare_units: tuple[str, ...], example: str) -> str:
    """Return `value` as text that matches `pattern`, else UnitError."""
    if isinstance(value, str) and re.match(pattern, value.strip()):
        return value.strip()
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number or (isinstance(value, str) and re.fullmatch(_NUMBER, value.strip())):
        choices = " or ".join(f"`{str(value).strip()}{unit}`" for unit in bare_units)
        raise UnitError(f"{what} needs a unit: write {choices}")
    raise UnitError(f"{_shown(value)} is not {what}: write it like {example}")


def _shown(value: object) -> str:
    if isinstance(value, (dict, list, tuple)):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = "nothing" if value is None else str(value)
    return f"`{text if len(text) <= 40 else text[:37] + '...'}`"


def _finite(number: float, what: str) -> float:
    if not math.isfinite(number) or number > 1e15:
        raise UnitError(f"{what} is too large")
    return number


def parse_duration(value: object) -> float:
    """Read `250ms`, `10s`, `1h30m` as seconds. Raises UnitError."""
    text = _text(value, DURATION_PATTERN, "a duration", ("s", "ms"), "`250ms`, `10s`, `5min`, `1h30m`")
    # microseconds are the trace's resolution: rounding keeps `0.1s` and `100ms` the same number
    total = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text))
    return round(_finite(total, "this duration"), 6)


def parse_size(value: object) -> int:
    """Read `200B`, `64KiB` as bytes. Raises UnitError."""
    text = _text(value, SIZE_PATTERN, "a size", ("B", "KiB"), "`200B`, `64KiB`, `4MiB`")
    number, unit = _split(text)
    return round(_finite(number * _BYTES[unit], "this size"))


def parse_rate(value: object) -> float:
    """Read `20/s`, `3/min` as events per second. Raises UnitError."""
    text = _text(value, RATE_PATTERN, "a rate", ("/s", "/min"), "`20/s`, `3/min`, `100/h`")
    number, unit = _split(text)
    return _finite(number / _PER[unit], "this rate")


def parse_bandwidth(value: object) -> float:
    """Read `10KiB/s`, `250kbit/s` as bytes per second. Raises UnitError."""
    text = _text(value, BANDWIDTH_PATTERN, "a bandwidth", ("KiB/s", "kbit/s"), "`10KiB/s`, `250kbit/s`")
    number, unit = _split(text.removesuffix("/s"))
    return _finite(number * (_BITS[unit] / 8 if unit in _BITS else _BYTES[unit]), "this bandwidth")


def parse_fraction(value: object) -> float:
    """Read `50%` as 0.5. Raises UnitError."""
    text = _text(value, FRACTION_PATTERN, "a fraction", ("%",), "`50%`")
    fraction = float(text.rstrip(" %")) / 100
    if fraction > 1:
        raise UnitError(f"`{text}` is more than 100%")
    return fraction


def _split(text: str) -> tuple[float, str]:
    match = _AMOUNT.match(text)
    assert match is not None, text  # the caller matched the full pattern
    return float(match[1]), match[2]


def _plain(number: float) -> str:
    """Return a float without exponent, exact enough to parse back to the same float."""
    if number == int(number):
        return str(int(number))
    return repr(number) if "e" not in repr(number) else format(number, ".20f").rstrip("0")


def format_duration(seconds: float) -> str:
    """Write seconds as `250ms`, `10s`, `5min`, `1h30min`; parses back to the same number."""
    micros = round(seconds * 1e6)
    if micros and micros < 1_000_000:
        return f"{micros // 1000}ms" if micros % 1000 == 0 else f"{micros}us"
    if micros < 120_000_000 or micros % 60_000_000:
        return f"{micros // 1_000_000}s" if micros % 1_000_000 == 0 else f"{_plain(micros / 1e6)}s"
    hours, minutes = divmod(micros // 60_000_000, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}min" if minutes else "")


def format_size(size: int) -> str:
    """Write bytes as `200B`, `64KiB`, `4MiB`."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


def format_rate(per_s: float) -> str:
    """Write a rate per second as `20/s`, or `3/min` when that is the rounder figure."""
    for unit, size in _PER.items():
        amount = per_s * size
        if per_s < 1 and amount >= 1 and abs(amount - round(amount)) < 1e-9:
            return f"{round(amount)}/{unit}"
    return f"{_plain(per_s)}/s"


def format_bandwidth(bytes_per_s: float) -> str:
    """Write bytes per second as `10KiB/s`."""
    if bytes_per_s == int(bytes_per_s):
        return f"{format_size(int(bytes_per_s))}/s"
    return f"{_plain(bytes_per_s)}B/s"


def format_fraction(fraction: float) -> str:
    """Write 0.5 as `50%`."""
    return f"{_plain(round(fraction * 100, 10))}%"


def _quantity(
    name: str, parse: Callable[[object], Any], show: Callable[[Any], str], pattern: str, example: str
) -> object:
    """Return the pydantic annotations of one kind of quantity."""

    def validate(value: object) -> object:
        try:
            return parse(value)
        except UnitError as error:
            raise PydanticCustomError("unit", "{problem}", {"problem": str(error)}) from None

    schema = {"type": "string", "pattern": pattern, "examples": [example], "$comment": name}
    return BeforeValidator(validate), PlainSerializer(show), WithJsonSchema(schema)


_duration = _quantity("duration", parse_duration, format_duration, DURATION_PATTERN, "10s")
_size = _quantity("size", parse_size, format_size, SIZE_PATTERN, "64KiB")
_rate = _quantity("rate", parse_rate, format_rate, RATE_PATTERN, "20/s")
_bandwidth = _quantity("bandwidth", parse_bandwidth, format_bandwidth, BANDWIDTH_PATTERN, "10KiB/s")
_fraction = _quantity("fraction", parse_fraction, format_fraction, FRACTION_PATTERN, "50%")

SHOW: dict[str, Callable[[Any], str]] = {
    "duration": format_duration,
    "size": format_size,
    "rate": format_rate,
    "bandwidth": format_bandwidth,
    "fraction": format_fraction,
}
"""How each kind of quantity is written, by the name its JSON Schema carries in `$comment`."""

Duration = Annotated[float, _duration[0], _duration[1], _duration[2]]
"""Seconds."""
Size = Annotated[int, _size[0], _size[1], _size[2]]
"""Bytes."""
Rate = Annotated[float, _rate[0], _rate[1], _rate[2]]
"""Events per second."""
Bandwidth = Annotated[float, _bandwidth[0], _bandwidth[1], _bandwidth[2]]
"""Bytes per second."""
Fraction = Annotated[float, _fraction[0], _fraction[1], _fraction[2]]
"""0..1."""
