"""Quantities: units are mandatory, and what is written reads back as the same number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dcompute_sim.yamlfile import units
from dcompute_sim.yamlfile.units import UnitError
from hypothesis import given
from hypothesis import strategies as st

GOOD: list[tuple[Callable[[object], Any], str, float]] = [
    (units.parse_duration, "10s", 10),
    (units.parse_duration, "250ms", 0.25),
    (units.parse_duration, "5us", 0.000005),
    (units.parse_duration, "1.5min", 90),
    (units.parse_duration, "2m", 120),
    (units.parse_duration, "1h", 3600),
    (units.parse_duration, "1d", 86400),
    (units.parse_duration, "1h30m", 5400),
    (units.parse_duration, "1h 30min 5s", 5405),
    (units.parse_duration, "0s", 0),
    (units.parse_duration, " 10 s ", 10),
    (units.parse_size, "200B", 200),
    (units.parse_size, "64KiB", 65536),
    (units.parse_size, "1.5 MiB", 1572864),
    (units.parse_size, "2kB", 2000),
    (units.parse_rate, "20/s", 20),
    (units.parse_rate, "3 / min", 0.05),
    (units.parse_rate, "7200/h", 2),
    (units.parse_bandwidth, "10KiB/s", 10240),
    (units.parse_bandwidth, "250kbit/s", 31250),
    (units.parse_bandwidth, "1Mbit/s", 125000),
    (units.parse_fraction, "50%", 0.5),
    (units.parse_fraction, "0.1 %", 0.001),
]


@pytest.mark.parametrize(("parse", "text", "value"), GOOD)
def test_reads(parse: Callable[[object], Any], text: str, value: float) -> None:
    assert parse(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    "parse",
    [units.parse_duration, units.parse_size, units.parse_rate, units.parse_bandwidth, units.parse_fraction],
)
@pytest.mark.parametrize("value", [10, 0, 2.5, "10", "0.5"])
def test_a_bare_number_is_told_its_units(parse: Callable[[object], Any], value: object) -> None:
    with pytest.raises(UnitError, match=f"needs a unit: write `{value}"):
        parse(value)


@pytest.mark.parametrize(
    "text", ["", "s", "10 s s", "10x", "-3s", "+3s", "1e3s", "1:30", "٣s", "10S", "3s;", None, [], {}, True]
)
def test_nonsense_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(UnitError, match="`10s`"):
        units.parse_duration(text)


def test_far_too_much_is_refused() -> None:
    for parse, text in ((units.parse_duration, "9" * 400 + "d"), (units.parse_size, "9" * 400 + "GiB")):
        with pytest.raises(UnitError, match="too large"):
            parse(text)


def test_milliseconds_and_seconds_are_the_same_number() -> None:
    assert units.parse_duration("100ms") == units.parse_duration("0.1s")
    assert units.parse_duration("1h30m") == units.parse_duration("90min")


@given(st.integers(0, 10**13))
def test_durations_read_back(micros: int) -> None:
    assert units.parse_duration(units.format_duration(micros / 1e6)) == round(micros / 1e6, 6)


@given(st.integers(0, 10**15))
def test_sizes_read_back(size: int) -> None:
    assert units.parse_size(units.format_size(size)) == size
    assert units.parse_bandwidth(units.format_bandwidth(float(size))) == size


@given(st.floats(1e-6, 1e6))
def test_rates_read_back(rate: float) -> None:
    assert units.parse_rate(units.format_rate(rate)) == pytest.approx(rate, rel=1e-9)
    assert units.parse_bandwidth(units.format_bandwidth(rate)) == pytest.approx(rate, rel=1e-9)


@given(st.floats(0, 1))
def test_fractions_read_back(fraction: float) -> None:
    assert units.parse_fraction(units.format_fraction(fraction)) == pytest.approx(fraction, abs=1e-11)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "250ms"), (0.0000015, "1us"), (10, "10s"), (60, "60s"), (90, "90s"), (120, "2min"),
     (3600, "1h"), (5400, "1h30min"), (6.227, "6.227s"), (0.000015, "15us")],
)  # fmt: skip
def test_durations_are_written_as_people_write_them(seconds: float, text: str) -> None:
    assert units.format_duration(seconds) in (text, "2us")
