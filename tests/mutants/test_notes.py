"""What is kept of judged mutants counts for the very change and tree; what is red on healthy code, never."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from dcompute_sim.mutants import Edit

from benchmarks.mutants import run
from benchmarks.mutants.catalogue import SourceMutant
from benchmarks.mutants.notes import Note, Notes, key_of

MUTANT = SourceMutant("dcompute", "a", "something", Edit("dcompute/worker.py", "x", "y"))


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every trial that is made. `unsound` is red whatever it is tried on, `sharp` on a mutant, of which
    `endless` sees no end.
    """
    made: list[str] = []

    @contextmanager
    def copy_with(mutant: SourceMutant | None) -> Iterator[Path]:
        yield Path("healthy" if mutant is None else "mutant")

    def results(copy: Path, order: Sequence[str]) -> Iterator[tuple[str, str, str]]:
        for trial in order:
            made.append(f"{trial} on {copy}")
            red = trial == "unsound" or (trial == "sharp" and copy.name == "mutant")
            endless = trial == "endless" and copy.name == "mutant"
            status = "failed" if red else "no verdict" if endless else "held"
            yield trial, status, "seen" if red else ""
            if status != "held":
                return

    monkeypatch.setattr(run, "copy_with", copy_with)
    monkeypatch.setattr(run, "trial_results", results)
    monkeypatch.setattr(run, "trials", lambda _part: ["blind", "unsound", "sharp"])
    return made


def test_a_trial_that_is_red_on_the_healthy_code_notices_nothing(tried: list[str], tmp_path: Path) -> None:
    (judgement,) = run.measure([MUTANT], 1, Notes(tmp_path / "notes.json"))
    assert judgement.caught_by == "sharp"
    assert "unsound on healthy" in tried


def test_what_comes_to_no_verdict_has_noticed_nothing_and_has_a_row_of_its_own(
    tried: list[str], tmp_path: Path
) -> None:
    notes = Notes(tmp_path / "notes.json")
    for _ in ("judged", "noted"):
        (judgement,) = run.measure([MUTANT], 1, notes, lambda _mutant: ["endless", "blind"])
        assert (judgement.caught_by, judgement.endless) == (None, "endless")
        assert judgement.in_words == "NO VERDICT of endless"
    assert "blind on mutant" in tried
    (judgement,) = run.measure([MUTANT], 1, notes, lambda _mutant: ["endless", "sharp"])
    assert (judgement.caught_by, judgement.endless) == ("sharp", None)


@pytest.mark.parametrize(
    ("does", "patience", "hanging", "status"),
    [
        ("while True: pass", 0.05, 600, "no verdict"),
        # ... what it has begun counts, too, though it waits itself.
        ("subprocess.run([sys.executable, '-c', 'while True: pass'])", 0.5, 600, "no verdict"),
        ("time.sleep(600)", 600, 0.05, "no verdict"),
        # A machine that has no time for it: it takes long, and of the processors nearly nothing.
        ("time.sleep(0.7)", 0.5, 600, "held"),
    ],
    ids=["spins", "has another that spins", "hangs", "waits"],
)
def test_patience_with_a_trial_is_in_what_it_takes_of_the_processors(
    does: str, patience: float, hanging: float, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = tmp_path / "benchmarks" / "mutants" / "judge.py"
    judge.parent.mkdir(parents=True)
    for folder in (judge.parent, judge.parent.parent):
        (folder / "__init__.py").touch()  # else the project's own comes first
    said = json.dumps({"trial": "a", "status": "held", "why": ""})
    judge.write_text(f"import subprocess, sys, time\n{does}\nprint({said!r})", encoding="utf-8")
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "LOOK_S", 0.02)
    monkeypatch.setattr(run, "PATIENCE_S", patience)
    monkeypatch.setattr(run, "HANGING_S", hanging)
    assert [each[:2] for each in run.trial_results(tmp_path, ["a"])] == [("a", status)]


def test_a_second_run_judges_nothing_again(tried: list[str], tmp_path: Path) -> None:
    first = run.measure([MUTANT], 1, Notes(tmp_path / "notes.json"))
    tried.clear()
    assert run.measure([MUTANT], 1, Notes(tmp_path / "notes.json")) == first
    assert not tried


def test_another_change_of_that_name_is_judged_anew_and_yesterdays_catcher_first(
    tried: list[str], tmp_path: Path
) -> None:
    run.measure([MUTANT], 1, Notes(tmp_path / "notes.json"))
    tried.clear()
    other = SourceMutant("dcompute", "a", "something", Edit("dcompute/worker.py", "x", "z"))
    run.measure([other], 1, Notes(tmp_path / "notes.json"))
    assert tried == ["sharp on mutant"]


def test_only_what_is_asked_for_is_tried_and_says_nothing_of_the_rest(
    tried: list[str], tmp_path: Path
) -> None:
    notes = Notes(tmp_path / "notes.json")
    (judgement,) = run.measure([MUTANT], 1, notes, lambda _mutant: ["blind"])
    assert judgement.caught_by is None
    assert tried == ["blind on mutant"]
    (judgement,) = run.measure([MUTANT], 1, notes)
    assert judgement.caught_by == "sharp"


@pytest.mark.parametrize("content", ["", "[]", '{"a": {"nonsense": 1}}', '{"a": 3}'])
def test_a_file_that_is_none_of_ours_counts_as_empty(content: str, tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text(content, encoding="utf-8")
    notes = Notes(tmp_path / "notes.json")
    assert notes.hint("a") is None
    notes.put("a", Note(key_of(MUTANT, []), "sharp", "", 1.0))
    assert Notes(tmp_path / "notes.json").hint("a") == "sharp"
