"""The scenarios that ship: each holds, and each field fault goes red on the mutant it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dcompute_sim.checks import Status
from dcompute_sim.mutants import MUTANTS
from dcompute_sim.mutants.catalogue import FIRMWARE
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario, load_all, shipped

# The faults that were met in the field, one scenario each.
FIELD = {
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
    "long_outage": "a pause between attempts without a bound",
    "same_nonce": "a boot nonce that is the same at every start",
    "silent_failure": "a failing task's result not sent",
    "wrong_id": "a result under another task's id",
    "deaf_wifi": "a Wi-Fi that claims to be up while nobody answers",
}
# Smaller than it ships, so that the suite stays quick; the whole is run by `dcompute run scenarios/`.
SMALLER = {
    "esp32": ["vars.count=20", "vars.away=3min", "vars.gone=90s"],
    "sensors": ["vars.hours=70min", "vars.count=8"],
    "urgent": ["fleet.py.count=100", "workload.0.tasks=2000"],
    "access_point": [
        *("fleet.hall.count=10", "fleet.yard.count=10", "workload.0.rate=3/s"),
        "expect.1.sometimes.at_least=10",
    ],
    "small_heap": [
        *("fleet.esp.count=3", "workload.0.tasks=450", "workload.0.rate=5/s"),
        *("faults.0.times=2", "faults.1.times=4"),
    ],
}
# A board boots, and joins its Wi-Fi: some seconds on a chip, none for a python node.
_TIME_TO_JOIN = ("vars.start=8s",)
_TIME_TO_RECOVER = (*_TIME_TO_JOIN, "vars.recovery=10s", "faults.0.sure=true")
ON_BOARDS = {
    "malformed_task": _TIME_TO_JOIN,
    "retained_dead": _TIME_TO_RECOVER,
    "new_client_id": _TIME_TO_RECOVER,
    "two_readers": ("fleet.py.count=4", "workload.0.rate=40/s"),
}
# About what only the simulated work of python nodes has, or made with a circumstance that is put into them.
PYTHON_ONLY = (
    "half_packet",
    "no_puback",
    "clock_unset",
    "starvation",
    "storm",
)
BOARDS_ONLY = ("deaf_wifi",)
CAUGHT_BY_THE_SWARM = (
    "no-will",
    "no-held-results",
    "fifo-queue",
    "no-self-repair",
    "ignore-incarnation",
)
CAUGHT_LEAVING = (
    "leaves-by-crash",
    "leaves-in-silence",
    "unretained-offline",
)  # tests/engines/test_leaving.py
OF_EXECUTORS = (
    "new-number-each-time",
    "once-again",
    "forgets-of-a-life",
    "deaf-to-results",
    "first-asked-first",
    "last-asked-first",
    "one-for-all",
    "never-recalls",
)  # tests/mutants/test_executors.py
_RED_ON = re.compile(r"^# Red on: +--mutant (\S+): (.+)$", re.MULTILINE)

FILES = shipped()


def variations(name: str) -> list[Scenario]:
    return load_all(FILES[name], SMALLER.get(name, ()))


def virtual() -> list[str]:
    return [name for name, path in FILES.items() if "\ntime: real" not in path.read_text(encoding="utf-8")]


def what_did_not_hold(scenario: Scenario) -> list[str]:
    results = run_scenario(scenario).verdict.results
    return [f"{r.label}: {r.outcome.summary}" for r in results if r.outcome.status is not Status.HELD]


def red_on(path: Path) -> tuple[str, list[str]]:
    """The mutant that a header names, and the checks that it says go red."""
    found = _RED_ON.findall(path.read_text(encoding="utf-8"))
    assert len(found) == 1, f"{path.name}: one line `# Red on:      --mutant NAME: check, check`"
    mutant, checks = found[0]
    return mutant, checks.split(", ")


@pytest.mark.parametrize("name", virtual())
def test_a_shipped_scenario_holds(name: str) -> None:
    for scenario in variations(name):
        assert not what_did_not_hold(scenario), scenario.name


@pytest.mark.parametrize("piece", FIELD)
def test_a_field_fault_goes_red_on_its_mutant(piece: str) -> None:
    (scenario,) = variations(f"field_{piece}")
    mutant, checks = red_on(FILES[f"field_{piece}"])
    verdict = run_scenario(scenario, RunOptions(mutants=(mutant,))).verdict
    failed = {result.name for result in verdict.of(Status.FAILED)}
    assert failed.issuperset(checks), f"on {mutant}, {checks} should fail; {sorted(failed)} did"


@pytest.mark.parametrize(
    "piece", [piece for piece in FIELD if piece not in (*PYTHON_ONLY, *BOARDS_ONLY, "herd")]
)
def test_our_firmware_bears_a_field_fault(piece: str) -> None:
    overrides = ["fleet.py.kind=firmware", *ON_BOARDS.get(piece, ())]
    (scenario,) = load_all(FILES[f"field_{piece}"], overrides)
    assert not what_did_not_hold(scenario)


ON_A_BOARD = [
    piece
    for piece in FIELD
    if piece not in (*PYTHON_ONLY, *BOARDS_ONLY, "herd")
    and FIRMWARE in MUTANTS[red_on(FILES[f"field_{piece}"])[0]].reaches
]


@pytest.mark.parametrize("piece", ON_A_BOARD)
def test_a_field_fault_goes_red_on_a_board_that_is_its_mutant(piece: str) -> None:
    overrides = ["fleet.py.kind=firmware", *ON_BOARDS.get(piece, ())]
    (scenario,) = load_all(FILES[f"field_{piece}"], overrides)
    mutant, checks = red_on(FILES[f"field_{piece}"])
    verdict = run_scenario(scenario, RunOptions(mutants=(mutant,))).verdict
    assert verdict.status is Status.FAILED, f"on {mutant}, something like {checks} should fail"


def test_the_field_is_complete() -> None:
    assert {name.removeprefix("field_") for name in FILES if name.startswith("field_")} == set(FIELD)


def test_every_mutant_is_shown() -> None:
    shown = {red_on(FILES[f"field_{piece}"])[0] for piece in FIELD}
    circumstances = {
        group.variant for name in FILES for scenario in variations(name) for group in scenario.fleet.values()
    }
    assert set(MUTANTS) <= shown | circumstances | set(CAUGHT_BY_THE_SWARM) | set(CAUGHT_LEAVING) | set(
        OF_EXECUTORS
    )


def test_no_field_fault_shares_its_mutant() -> None:
    mutants = [red_on(FILES[f"field_{piece}"])[0] for piece in FIELD]
    assert len(set(mutants)) == len(mutants)


def test_the_library_is_large_and_uses_its_language() -> None:
    assert len(FILES) >= 25
    kinds = {fault.kind for name in FILES for scenario in variations(name) for fault in scenario.faults}
    assert len(kinds) >= 14, sorted(kinds)


@pytest.mark.parametrize("name", FILES)
def test_a_description_says_nothing_that_a_run_can_set_otherwise(name: str) -> None:
    """`--set vars.nodes=1000` on the quickstart was called "300 nodes" still."""
    text = FILES[name].read_text()
    described = re.search(r"^description: (.*)$", text, re.MULTILINE)
    settable = re.search(r"^vars:\n((?:  .*\n)+)", text, re.MULTILINE)
    values = re.findall(r": ([\d.]+)\b", settable[1]) if settable else []
    assert described is None or not set(values) & set(re.findall(r"[\d.]*\d", described[1]))
