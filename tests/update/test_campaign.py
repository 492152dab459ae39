"""Campaigns: waves, abort, penalty box, going on after a crash. `python -m benchmarks campaign` does the
first two on 1,000 simulated boards and on twelve virtual ones."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.micropython.provision import Emulator
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.campaign import on_boards, simulated
from dcompute._cli.update import Prepared, Runner, Unkept
from dcompute._ota.campaign import BadCampaign, Campaign, Fate, WavePlan, waves_of
from dcompute._ota.progress import UpdateProgress, UpdateState
from dcompute.bundle import Bundle

FLEET = [f"b-{number:04}" for number in range(1000)]


def campaign(nodes: list[str], plan: WavePlan, *, can_return: bool = False) -> Campaign:
    return Campaign("v2", 2, "00", waves_of(nodes, plan), plan, can_return)


def over(name: str, state: UpdateState, *, taken: bool = True, reason: str = "") -> UpdateProgress:
    return UpdateProgress(name, "v2", state, reason, 0, 1, taken)


class Fleet:
    """Boards that end as it was decided for each before: to run the version, to fall back, or to be
    silent."""

    def __init__(self, seed: int, broken: float, silent: float = 0.0) -> None:
        rng = random.Random(seed)
        self.fate = {}
        for name in FLEET:
            self.fate[name] = (
                "broken" if rng.random() < broken else "silent" if rng.random() < silent else "fine"
            )
        self.runs = dict.fromkeys(FLEET, "v1")
        self.touched: set[str] = set()

    def update(self, name: str) -> UpdateProgress:
        if self.fate[name] == "silent":
            return over(name, UpdateState.FAILED, taken=False, reason="it does not answer")
        self.touched.add(name)
        if self.fate[name] == "broken":
            return over(name, UpdateState.ROLLED_BACK)
        self.runs[name] = "v2"
        return over(name, UpdateState.CONFIRMED)

    def back(self, name: str) -> UpdateProgress:
        self.runs[name] = "v1"
        return over(name, UpdateState.CONFIRMED)


def carry_out(made: Campaign, fleet: Fleet, rng: random.Random, killed_at: tuple[int, ...] = ()) -> Campaign:
    """Let it run, boards ending in any order; `killed_at`: how many ends it sees before the master dies."""
    there: list[str] = []
    back: list[str] = []
    now_s, ends = 0.0, 0
    kept = made.to_json()
    while not made.over:
        now_s += 1
        begun, going_back = made.begin(now_s), made.back()
        if begun or going_back:
            kept = made.to_json()  # before anything is sent
        there, back = there + begun, back + going_back
        rng.shuffle(there)
        for waiting, what in ((there, fleet.update), (back, fleet.back)):
            if waiting:
                name = waiting.pop()
                made.ended(what(name))
                ends += 1
        if ends in killed_at:
            killed_at = tuple(n for n in killed_at if n != ends)
            made = Campaign.from_json(kept)  # what it saw since is forgotten
            there, back = made.resumed()
            there, back = list(there), list(back)
        assert now_s < 1e6, made.counts()
    return made


@pytest.mark.parametrize("seed", range(4))
def test_a_version_of_which_three_in_ten_do_not_come_up_touches_few_and_leaves_none(
    seed: int, tmp_path: Path
) -> None:
    """300 boards that speak the protocol, the master killed twice on the way; none gets it once more."""
    found = simulated(seed, 300, tmp_path)
    assert 0 < found.touched <= 15
    assert (found.on_old, found.twice, found.kills) == (300, 0, 2)


def test_the_same_on_boards_in_real_time(emulator: Emulator, tmp_path: Path) -> None:
    """The command is killed with a board on trial, which goes back meanwhile, and amid the other's return."""
    found = asyncio.run(on_boards(3, tmp_path, ("board-01: switching", "returning"), canaries=2))
    assert (found.touched, found.on_old, found.twice, found.kills) == (2, 3, 0, 2)


def test_a_good_version_reaches_everyone_who_answers_in_waves() -> None:
    plan = WavePlan(canaries=10, wave=0.1, pause_s=30)
    fleet = Fleet(3, broken=0.005, silent=0.02)
    made = carry_out(campaign(FLEET, plan), fleet, random.Random(3), killed_at=(5, 500))
    assert not made.aborted
    silent = [name for name in FLEET if fleet.fate[name] == "silent"]
    assert [name for name, fate in made.fates.items() if fate is Fate.BOXED] == silent
    assert all(made.tries[name] == 2 for name in silent)
    assert made.reasons[silent[0]] == "it does not answer"
    assert made.counts()[Fate.DONE] + made.counts()[Fate.FAILED] + len(silent) == 1000
    made.release_boxed()
    assert not made.over


def test_waves_wait_for_the_last_board_and_for_the_pause() -> None:
    made = campaign(["a", "b", "c", "d"], WavePlan(canaries=("c",), wave=2, pause_s=10))
    assert made.begin(0) == ["c"]
    assert made.begin(100) == []
    made.ended(over("c", UpdateState.CONFIRMED))
    assert made.begin(101) == []
    assert made.begin(110.9) == []
    assert made.begin(111) == ["a", "b"]
    made.ended(over("a", UpdateState.CONFIRMED))
    assert made.begin(200) == []
    made.ended(over("b", UpdateState.CONFIRMED))
    assert made.begin(201) == []
    assert made.begin(211) == ["d"]
    made.ended(over("d", UpdateState.CONFIRMED))
    assert made.over
    assert made.counts() == {Fate.DONE: 4}


def test_boards_that_are_off_do_not_count_against_the_version() -> None:
    made = campaign(["a", "b", "c"], WavePlan(canaries=2, wave=1, pause_s=0, abort_share=0))
    for name in made.begin(0):
        made.ended(over(name, UpdateState.FAILED, taken=False))
    assert not made.aborted
    assert made.begin(1) == ["c"]
    made.ended(over("c", UpdateState.REFUSED, taken=False, reason="too large"))
    assert made.aborted == "1 of the 1 board that took it does not run it"


def test_a_state_that_cannot_be_written_stops_it_before_a_board_is_begun() -> None:
    made = campaign(["a"], WavePlan(canaries=1))
    bundle = Bundle("v2", {"main.py": b""})
    nobody: Any = None
    runner = Runner(
        nobody,
        Prepared(made, {}, bundle, None),
        lambda words: None,
        back=False,
        patience_s=1,
        state=Path("/proc/nowhere/state"),
    )
    with pytest.raises(Unkept, match="/proc/nowhere/state cannot be written: No such file"):
        runner.run()


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(BadCampaign, match="canary z: not among the boards: a, b"):
        waves_of(["b", "a"], WavePlan(canaries=("z",)))
    for wrong in ({"wave": 0}, {"wave": 1.5}, {"abort_share": 2}, {"pause_s": -1}, {"tries": 0}):
        with pytest.raises(BadCampaign):
            WavePlan(**wrong)
    for text in ("", "{}", "[]", '{"plan": 5}'):
        with pytest.raises(BadCampaign, match="no campaign that was written down"):
            Campaign.from_json(text)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(1, 40),
    canaries=st.integers(0, 5),
    wave=st.one_of(st.integers(1, 9), st.floats(0.01, 0.99)),
    broken=st.floats(0, 1),
    silent=st.floats(0, 1),
    killed_at=st.lists(st.integers(1, 60), max_size=3),
    can_return=st.booleans(),
)
def test_every_board_is_accounted_for_whatever_happens(
    seed: int,
    size: int,
    canaries: int,
    wave: Any,
    broken: float,
    silent: float,
    killed_at: Any,
    can_return: bool,
) -> None:
    plan = WavePlan(canaries=canaries, wave=wave, pause_s=2, abort_share=0.2)
    fleet = Fleet(seed, broken, silent)
    made = campaign(FLEET[:size], plan, can_return=can_return)
    assert sorted(name for w in made.waves for name in w) == FLEET[:size]
    made = carry_out(made, fleet, random.Random(seed), tuple(killed_at))
    assert made.over
    for name in FLEET[:size]:
        fate = made.fates[name]
        if fate is Fate.DONE:
            assert fleet.runs[name] == "v2"
        else:
            assert fleet.runs[name] == "v1" or (made.aborted and not can_return), (name, fate)
        if fate is Fate.WAITING:
            assert made.aborted
    if made.aborted and can_return:
        assert "v2" not in fleet.runs.values()
    assert Campaign.from_json(made.to_json()).to_json() == made.to_json()
