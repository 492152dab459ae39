"""Mutants: whom each reaches, what is refused, and a new one in a file of its own."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.checks import Status
from dcompute_sim.fwbuild.firmware_files import layout, product
from dcompute_sim.mutants import MUTANTS, Edit, MutantError, register
from dcompute_sim.mutants.catalogue import FIRMWARE, MASTER, PYTHON
from dcompute_sim.mutants.overlay import changed, overlay
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario

from dcompute.node_transport import ComputeNodeTransport

FIRMWARE_MUTANTS = [mutant.name for mutant in MUTANTS.values() if mutant.edits]


def scenario(fleet: dict[str, Any], **more: Any) -> Scenario:
    keys: dict[str, Any] = {
        "version": 1,
        "name": "mutants",
        "duration": "40s",
        "fleet": fleet,
        "workload": [{"at": "5s", "tasks": 6, "rate": "1/s"}],
        "faults": [{"kind": "crash", "at": "20s"}],
        "expect": ["dead_within", "all_tasks_finished"],
    }
    return Scenario.model_validate(keys | more)


def test_every_mutant_says_what_it_changes_and_whom_it_reaches() -> None:
    for mutant in MUTANTS.values():
        assert mutant.about
        assert mutant.reaches <= {PYTHON, FIRMWARE, MASTER}
    assert MUTANTS["no-will"].reaches == {PYTHON, FIRMWARE}
    assert MUTANTS["no-liveness"].reaches == {MASTER}


@pytest.mark.parametrize("name", FIRMWARE_MUTANTS)
def test_an_edit_fits_the_firmware_as_it_is_and_leaves_it_python(name: str) -> None:
    files = layout([product()])
    for file, data in overlay((name,), product()).items():
        assert data != files[file].read_bytes()
        compile(data, file, "exec")


@pytest.mark.parametrize("text", ["nothing like it", "twice twice"])
def test_an_edit_that_fits_nowhere_or_in_two_places_is_told(text: str) -> None:
    with pytest.raises(MutantError, match=r"link\.py has changed"):
        changed({"link.py": text}, [Edit("link.py", "twice", "thrice")])


def test_an_edit_of_a_file_that_is_no_more_is_told() -> None:
    name = "edits-no-file"
    register(name, Edit("gone.py", "a", "b"), about="Changes what is not there.")
    try:
        with pytest.raises(MutantError, match=r"no file gone\.py"):
            overlay((name,), product())
    finally:
        del MUTANTS.imported[name]


@pytest.mark.parametrize(
    ("fleet", "mutant", "words"),
    [
        (
            {"e": {"kind": "firmware"}},
            "half-packets",
            "it changes python nodes, and mutants has emulated boards",
        ),
        ({"e": {"kind": "firmware", "files": "."}}, "no-will", "boards with firmware of their own"),
        ({"py": {}}, "no-such", "no mutant is called 'no-such'; there are: "),
    ],
)
def test_a_mutant_that_reaches_nobody_is_refused_before_the_start(
    fleet: dict[str, Any], mutant: str, words: str
) -> None:
    with pytest.raises(MutantError, match=words):
        run_scenario(scenario(fleet), RunOptions(mutants=(mutant,)))


def test_a_variant_that_a_target_puts_out_of_reach_is_refused_too() -> None:
    made = scenario({"py": {"kind": "board", "variant": "no-will"}}, time="real")
    with pytest.raises(MutantError, match="group py has boards on serial ports"):
        run_scenario(made)
    kept = made.model_copy(update={"expect": []})
    assert run_scenario(kept, RunOptions(target="sim")).trace.events


def test_the_boards_of_a_run_are_the_mutant() -> None:
    made = scenario({"e": {"kind": "firmware", "count": 2, "keepalive": "10s"}})
    assert run_scenario(made).verdict.status is Status.HELD
    verdict = run_scenario(made, RunOptions(mutants=("no-will",))).verdict
    assert "dead_within" in {result.name for result in verdict.of(Status.FAILED)}


NEW = '''
from dcompute.node_transport import ComputeNodeTransport
from dcompute_sim.mutants import Edit, register


class _Silent(ComputeNodeTransport):
    """Does its work and tells nobody of it."""

    def send_result(self, result, task_id=None):
        pass


register("silent", _Silent, Edit("compute_node.py", "link.outbox.add_result(", "str("))
'''


@pytest.fixture
def new_mutant(tmp_path: Path) -> Iterator[str]:
    """A mutant in one file of its own; nothing else knows of it."""
    file = tmp_path / "a_new_mutant.py"
    file.write_text(NEW)
    runpy.run_path(str(file))
    yield "silent"
    del MUTANTS.imported["silent"]


@pytest.mark.parametrize("kind", ["python", "firmware"])
@pytest.mark.parametrize("how", ["option", "variant"])
def test_a_new_mutant_is_one_file(new_mutant: str, kind: str, how: str) -> None:
    group = {"kind": kind, "keepalive": "10s"} | ({"variant": new_mutant} if how == "variant" else {})
    made = scenario({"e": group}, faults=[], expect=["all_tasks_finished"])
    verdict = run_scenario(made, RunOptions(mutants=(new_mutant,) if how == "option" else ())).verdict
    assert verdict.status is Status.FAILED


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ValueError, match="there is a mutant 'no-will' already"):
        register("no-will", ComputeNodeTransport)
    with pytest.raises(ValueError, match="says nothing of what it changes"):
        register("nothing")
