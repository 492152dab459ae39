"""A small share of `python -m benchmarks kills`, and that what judges it sees what it is there for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.kills.campaign import Campaign, Faults
from benchmarks.kills.ledger import Ledger, judge

ONCE = {0}


def test_nothing_is_lost_or_done_twice_in_a_life_whoever_is_killed() -> None:
    faults = Faults(node_kill=3, node_pause=2, asker_kill=4, asker_pause=1, broker_kill=1)
    times: Any = {"each_s": 0.02, "every_s": (0.1, 0.4), "longest_away_s": 0.3, "longest_pause_s": 1.0}
    found = Campaign("mosquitto", 300, faults, 3, enough=14, nodes=3, **times).run()
    assert found.wrong == []
    assert found.results + found.unknown == 300
    assert sum(found.faults.values()) >= 8, found.faults


class Story:
    """Lives of a node and of an executor, as they write them down."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.node, self.next_life = self.life("executed"), self.life("executed")
        self.asker, self.next_asker = self.life("told"), self.life("told")

    def life(self, of: str) -> Ledger:
        return Ledger(self._folder / of, "x")

    def runs(self, number: int, life: Ledger | None = None) -> str:
        return (life or self.node).write(number=number, attempt=1)

    def tells(self, number: int, result: str, asker: Ledger | None = None) -> None:
        (asker or self.asker).write(number=number, result=result)

    def wrong(self, tasks: int) -> list[str]:
        return judge(self._folder / "executed", self._folder / "told", tasks, ONCE).wrong


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def test_what_is_right(story: Story) -> None:
    first = story.runs(1)
    story.runs(1, story.next_life)  # the first life was killed, and its answer came late
    story.tells(1, first)
    story.tells(1, first, story.next_asker)  # told again, the same, after a restart
    story.asker.write(number=0, error="OutcomeUnknown")
    assert story.wrong(2) == []


def test_what_is_lost(story: Story) -> None:
    story.tells(0, story.runs(0))
    story.runs(1)
    assert story.wrong(2) == ["task 1 has 0 results: []"]


def test_what_is_told_twice(story: Story) -> None:
    story.tells(1, story.runs(1))
    story.tells(1, story.runs(1, story.next_life), story.next_asker)
    story.tells(0, story.runs(0))
    (said,) = story.wrong(2)
    assert said.startswith("task 1 has 2 results")


def test_what_is_run_twice_in_one_life(story: Story) -> None:
    story.runs(1)
    story.tells(1, story.runs(1))
    story.tells(0, story.runs(0))
    assert [said.partition(", ")[0] for said in story.wrong(2)] == ["task 1 was executed 2 times in one life"]


def test_what_is_to_run_once_and_ran_in_two_lives(story: Story) -> None:
    story.runs(0)
    story.tells(0, story.runs(0, story.next_life))
    (said,) = story.wrong(1)
    assert "is to run once, and was executed by" in said


def test_a_result_of_nothing_that_ran(story: Story) -> None:
    story.tells(0, story.runs(0))
    story.tells(1, story.runs(0))
    assert "task 1: " in story.wrong(2)[-1]
