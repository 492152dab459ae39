"""The scenarios that ship: each holds, and each piece of the museum goes red on the specimen it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dcompute_sim.checks import Status
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.sabotage import SAFEGUARDS
from dcompute_sim.scenario import Scenario, load_all, shipped
from dcompute_sim.specimens import SPECIMENS

# The museum of issue 5, piece by piece.
MUSEUM = {
    "new_client_id": "stale will after reconnect with a new client id",
    "polite_crash": "will lost because of a DISCONNECT in an error path",
    "idle": "idle but healthy for three keepalives",
    "wifi_blink": "a three-second Wi-Fi blink then one task",
    "two_readers": "two readers on one socket",
    "unicode": "a task in Cyrillic and a result in Chinese",
    "first_task": "a task sent the moment a node says `connected`",
    "malformed_task": "a malformed task among good ones",
    "retained_dead": "retained `dead` outliving a recovery",
    "no_ping": "keepalive never sent by an idle client",
    "half_packet": "half-received packet",
    "no_puback": "PUBACK never coming",
    "forgetful_broker": "broker back without memory",
    "dies_unseen": "node dying while the broker is down",
    "herd": "thundering herd of reconnects",
    "starvation": "priority starvation",
    "clone": "cloned id",
    "clock_unset": "clock unset",
    "slow_consumer": "slow consumer",
    "storm": "message storm while a master restarts",
}
# Smaller than it ships, so that the suite stays quick; the whole is run by `dcompute run scenarios/`.
SMALLER = {"esp32": ["vars.count=25", "vars.away=4min", "vars.gone=2min"]}
# About what only the simulated work of python nodes has, or made with a circumstance that is put into them.
PYTHON_ONLY = (
    "polite_crash",
    "half_packet",
    "no_puback",
    "clock_unset",
    "slow_consumer",
    "starvation",
    "storm",
)
_RED_ON = re.compile(r"^# Red on: +--sabotage (\S+): (.+)$", re.MULTILINE)

FILES = shipped()


def variations(name: str) -> list[Scenario]:
    return load_all(FILES[name], SMALLER.get(name, ()), variants=SAFEGUARDS)


def virtual() -> list[str]:
    return [name for name, path in FILES.items() if "\ntime: real" not in path.read_text(encoding="utf-8")]


def what_did_not_hold(scenario: Scenario) -> list[str]:
    results = run_scenario(scenario).verdict.results
    return [f"{r.label}: {r.outcome.summary}" for r in results if r.outcome.status is not Status.HELD]


def red_on(path: Path) -> tuple[str, list[str]]:
    """The specimen that a header names, and the checks that it says go red."""
    found = _RED_ON.findall(path.read_text(encoding="utf-8"))
    assert len(found) == 1, f"{path.name}: one line `# Red on:      --sabotage NAME: check, check`"
    specimen, checks = found[0]
    return specimen, checks.split(", ")


@pytest.mark.parametrize("name", virtual())
def test_a_shipped_scenario_holds(name: str) -> None:
    for scenario in variations(name):
        assert not what_did_not_hold(scenario), scenario.name


@pytest.mark.parametrize("piece", MUSEUM)
def test_a_museum_piece_goes_red_on_its_specimen(piece: str) -> None:
    (scenario,) = variations(f"museum_{piece}")
    specimen, checks = red_on(FILES[f"museum_{piece}"])
    verdict = run_scenario(scenario, RunOptions(sabotage=(specimen,))).verdict
    failed = {result.name for result in verdict.of(Status.FAILED)}
    assert failed.issuperset(checks), f"without {specimen}, {checks} should fail; {sorted(failed)} did"


@pytest.mark.parametrize("piece", [piece for piece in MUSEUM if piece not in (*PYTHON_ONLY, "herd")])
def test_our_firmware_holds_in_the_museum(piece: str) -> None:
    overrides = ["fleet.py.kind=firmware"]
    (scenario,) = load_all(FILES[f"museum_{piece}"], overrides, variants=SAFEGUARDS)
    assert not what_did_not_hold(scenario)


def test_the_museum_is_complete() -> None:
    assert {name.removeprefix("museum_") for name in FILES if name.startswith("museum_")} == set(MUSEUM)


def test_every_specimen_is_shown() -> None:
    shown = {red_on(FILES[f"museum_{piece}"])[0] for piece in MUSEUM}
    circumstances = {
        group.variant for name in FILES for scenario in variations(name) for group in scenario.fleet.values()
    }
    assert set(SPECIMENS) <= shown | circumstances


def test_no_piece_shares_its_specimen() -> None:
    specimens = [red_on(FILES[f"museum_{piece}"])[0] for piece in MUSEUM]
    assert len(set(specimens)) == len(specimens)


def test_the_library_is_large_and_uses_its_language() -> None:
    assert len(FILES) >= 25
    kinds = {fault.kind for name in FILES for scenario in variations(name) for fault in scenario.faults}
    assert len(kinds) >= 14, sorted(kinds)
