"""The journal of a run's programs tells what the product's own would, whenever it is read."""

from __future__ import annotations

import random
from typing import Any

import pytest
from dcompute_sim.director import late_journal
from dcompute_sim.director.late_journal import LateJournal

from dcompute.executor.journal import Journal, Row


def _row(task: str, *, keyed: bool) -> Row:
    return Row(task, b"{}", 5, "", {}, False, None, None, keyed)


def _story(seed: int) -> list[tuple[str, tuple[Any, ...]]]:
    """Calls as an executor makes them: added, placed, perhaps settled, perhaps forgotten."""
    rng = random.Random(seed)
    calls: list[tuple[str, tuple[Any, ...]]] = []
    for number in range(rng.randrange(8)):
        task, keyed = f"t{number}", rng.random() < 0.7
        calls.append(("add", ([_row(task, keyed=keyed)],)))
        calls.append(("write", ([("placed", task, f"n{number % 3}", "life", number, 1)],)))
        if rng.random() < 0.6:
            calls.append(("write", ([("settled", task, "result", {"value": number}, "n1")],)))
            if rng.random() < 0.5:
                calls.append(("forget_key", (task,)) if keyed else ("forget", ([task],)))
    return calls


def _told(journal: Journal) -> list[Any]:
    read = [journal.find(f"t{number}") for number in range(9)]
    rest = [list(journal.unsettled()), journal.untaken(), journal.placed(), journal.counters()]
    return [*read, *rest, journal.nodes(), journal.name("another")]


@pytest.mark.parametrize("most", [0, 3, 2_000])
def test_it_tells_what_the_products_own_tells(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_journal, "MOST_WAITING", most)
    for seed in range(30):
        late, own = LateJournal(), Journal(":memory:")
        assert late.name("me") == own.name("me")
        calls = _story(seed)
        stop = random.Random(seed).randrange(len(calls) + 1)
        for which in (calls[:stop], calls[stop:]):  # read in the midst, as a program that is started again
            for name, arguments in which:
                getattr(late, name)(*arguments)
                getattr(own, name)(*arguments)
            assert _told(late) == _told(own), (seed, which)
        late.close()
        own.close()


def test_a_key_that_is_another_tasks_is_refused_as_by_the_products_own() -> None:
    late = LateJournal()
    late.add([_row("t", keyed=True)])
    with pytest.raises(ValueError, match="in the journal"):
        late.add([_row("t", keyed=True)])
    late.close()
