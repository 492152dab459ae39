"""The catalogue of mutants of production code: it fits the code as it is, and a share of it is caught."""

from __future__ import annotations

import re

import pytest
from ruamel.yaml import YAML

from benchmarks.mutants.catalogue import PARTS, ROOT, SourceMutant, catalogue, mutated
from benchmarks.mutants.run import judge
from benchmarks.mutants.trials import trials
from benchmarks.mutation import CORES, EQUIVALENT

ALL = [mutant for part in PARTS for mutant in catalogue(part)]
SHARE = (
    *("queue-lifo", "no-will", "master-callback-never", "result-under-another-id", "asker-moves-once"),
    "older-status-ends-in-an-error",  # of which there is nothing but a line in the log
)
"""A few that each have a trial of their own to catch them; the benchmark judges all."""


def test_there_are_enough_and_no_two_are_alike() -> None:
    assert len(catalogue("dcompute")) >= 80
    assert len(catalogue("firmware")) >= 60
    assert len({mutant.name for mutant in ALL}) == len(ALL)
    assert len({(m.part, m.edit) for m in ALL}) == len(ALL)
    touched = {mutant.edit.file for mutant in ALL}
    assert {"dcompute/worker.py", "dcompute/_ota/progress.py", "firmware/launcher.py"} <= touched


def test_the_architecture_page_counts_those_that_have_a_catcher() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    told = re.search(
        r"Of (\d+) that somebody could notice \((\d+) in .*?, (\d+) in .*?; (\d+) on boards\)", text
    )
    caught = [sum(bool(mutant.caught_by) for mutant in catalogue(part)) for part in PARTS]
    assert told is not None
    assert [int(number) for number in told.groups()] == [sum(caught), *caught]


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_a_mutant_fits_the_code_as_it_is(mutant: SourceMutant) -> None:
    text = mutated(mutant)
    assert text != (ROOT / mutant.edit.file).read_text(encoding="utf-8")
    compile(text, mutant.edit.file, "exec")


@pytest.mark.parametrize("name", SHARE)
def test_a_mutant_is_caught(name: str) -> None:
    (mutant,) = (mutant for mutant in ALL if mutant.name == name)
    assert mutant.caught_by, f"{name}: the catalogue says of no trial that catches it"
    assert mutant.caught_by in trials(mutant.part)
    assert judge(mutant, [mutant.caught_by]).caught_by


def test_what_nobody_can_notice_is_said_of_lines_that_are_there() -> None:
    for entry in YAML(typ="safe").load(EQUIVALENT.read_text(encoding="utf-8")):
        lines = [line.strip() for line in (ROOT / entry["file"]).read_text(encoding="utf-8").splitlines()]
        assert entry["old"] in lines, entry
        assert entry["file"] in CORES
        assert entry["old"] not in entry["new"]
