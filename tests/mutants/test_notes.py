"""What is kept of judged mutants counts for the very change and tree; what is red on healthy code, never."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from dcompute_sim.mutants import Edit

from benchmarks.mutants import run
from benchmarks.mutants.catalogue import ROOT, SourceMutant
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


def test_a_trial_that_takes_too_long_has_come_to_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PATIENCE_S", 0.01)
    ((trial, status, _),) = run.trial_results(ROOT, ["quickstart"])
    assert (trial, status) == ("quickstart", "no verdict")


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
