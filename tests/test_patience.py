"""A test that waits for something to come waits as long as any other: `PATIENCE_S` of tests/conftest.py.

Changes were refused by tests that waited 10 s for what takes 10 ms, on a machine that had twenty other things
to do. A bound of a moment is for what must not come; one in between is a guess at how busy machines are, and
fails by chance. So does an assertion that something took less than so many seconds: what is asserted is a
count, a ratio, the processor's time, or virtual time.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from dcompute_sim.trace import LoopLagged

from .conftest import PATIENCE_S, slower, unhurried

TESTS = Path(__file__).parent
A_MOMENT_S = 1.0

_BOUNDS = re.compile(
    r"""
    (?: \.(?:wait|join|result|exception|settimeout|communicate)\((?:timeout=)?
      | \basyncio\.timeout\(
      | \bwait_for\(.*,\s
      | (?<!WDT\()\btimeout=
      | \bmonotonic\(\)\s\+\s
    )
    (\d+(?:\.\d+)?)\b(?!\s*\*)
    """,
    re.VERBOSE,
)
_TOOK = re.compile(r"assert\b.*\b(?:monotonic|perf_counter)\(\) - \w+ <")

OF_THEIR_OWN = {
    "dcompute/test_registry.py": "waits in a fake world",
    "dcompute/test_registry_model.py": "waits in a fake world",
    "micropython/test_lockstep.py": "programs of boards in virtual time",
    "micropython/test_sockets.py": "programs of boards in virtual time",
    "update/test_attacker.py": "waits in virtual time",
    "test_patience.py": "examples of what is found",
}


def hurried(text: str) -> list[str]:
    """Lines that bound a wait by a guess, or the time that something took."""
    return [
        line.strip()
        for line in text.splitlines()
        if _TOOK.search(line)
        or any(A_MOMENT_S < float(found) < PATIENCE_S for found in _BOUNDS.findall(line))
    ]


def test_nobody_guesses_how_busy_the_machine_is() -> None:
    found = {
        name: lines
        for path in sorted(TESTS.rglob("*.py"))
        if (name := path.relative_to(TESTS).as_posix()) not in OF_THEIR_OWN
        if (lines := hurried(path.read_text(encoding="utf-8")))
    }
    assert not found


@pytest.mark.parametrize(
    ("line", "is_hurried"),
    [
        ("thread.join(10)", True),
        ("thread.join(PATIENCE_S)", False),
        ("future.result(timeout=5)", True),
        ("future.result(0)", False),
        ("assert not came.wait(0.5)", False),
        ("async with asyncio.timeout(15):", True),
        ("await asyncio.wait_for(reader.read(1), 2.5)", True),
        ("done = subprocess.run(command, timeout=30)", True),
        ("dog = machine.WDT(timeout=2000)", False),
        ("deadline_s = time.monotonic() + 10", True),
        ("go.wait(2 * PATIENCE_S)", False),
        ("assert time.monotonic() - began_s < 5", True),
        ("assert time.monotonic() - began_s > 0.1", False),
        ("assert time.process_time() - began_s < 5", False),
    ],
)
def test_what_counts_as_a_guess(line: str, is_hurried: bool) -> None:
    assert bool(hurried(line)) is is_hurried


def test_a_slower_scenario_has_the_same_bounds() -> None:
    text = 'phases: {quiet: 4s}, dead_within: {"bound": "5s"}, rate: 6/s, after: 200ms, payload: 60B'
    told = 'phases: {quiet: 12s}, dead_within: {"bound": "5s"}, rate: 6/s, after: 600ms, payload: 60B'
    assert slower(text) == told


@pytest.mark.parametrize(("busy", "plays"), [(True, 2), (False, 1)])
def test_only_a_machine_that_was_too_busy_excuses_a_run(busy: bool, plays: int) -> None:
    played: list[str] = []

    def play(scenario: str) -> None:
        played.append(scenario)
        assert scenario == "at: 3s"

    late = [LoopLagged(t_us=1, lag_us=60_000)] if busy else []
    with contextlib.nullcontext() if busy else pytest.raises(AssertionError):
        unhurried("at: 1s", play, lambda: late)
    assert len(played) == plays
