"""Whatever is bred is a scenario, makes sense, and stays within the swarm's ranges."""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from dcompute_sim.hunt.corpus import Entry
from dcompute_sim.hunt.moments import Moment
from dcompute_sim.hunt.mutation import Breeder
from dcompute_sim.hunt.sense import excesses, is_sensible
from dcompute_sim.scenario import Scenario, concretise, find, load
from dcompute_sim.scenario.write import to_yaml
from hypothesis import given, settings
from hypothesis import strategies as st

SWARM = load(find("swarm"))
EVENTS = ("node_connecting", "node_subscribing", "task_taken", "result_held", "broker_started")
FIXED = frozenset({"mine"})
seeds = st.integers(0, 2**31 - 1)


def entry(scenario: Scenario, rng: random.Random) -> Entry:
    names = [*scenario.nodes()]
    found = [
        Moment(event, "" if event.startswith("broker") else rng.choice(names), rng.randint(1, 3), 10.0)
        for event in EVENTS
    ]
    return Entry(scenario, [("step", "a", "b")], 500, found, frozenset({1}))


def loaded(scenario: Scenario) -> Scenario:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "it.yaml"
        path.write_text(to_yaml(scenario), encoding="utf-8")
        return load(path)


@given(seeds, seeds, seeds)
@settings(max_examples=25, deadline=None)
def test_what_is_bred_over_generations_is_a_scenario_of_the_swarm(one: int, two: int, dice: int) -> None:
    rng = random.Random(dice)
    assert SWARM.random is not None
    mine = {"id": "mine", "kind": "crash", "at": "30s", "restart_after": "1s"}
    whole = SWARM.model_validate(SWARM.model_dump() | {"faults": [mine]})
    breeder = Breeder(SWARM.random, FIXED, rng)
    parents = [entry(concretise(whole, seed), rng) for seed in (one, two)]
    for _ in range(8):
        bred = breeder.breed(*rng.sample(parents, 2))
        assert list(excesses(bred, SWARM.random, FIXED)) == []
        assert is_sensible(bred, SWARM.random, FIXED)
        assert [fault for fault in bred.faults if fault.id == "mine"] == [
            fault for fault in parents[0].scenario.faults if fault.id == "mine"
        ]
        assert len({fault.id for fault in bred.faults}) == len(bred.faults)
        parents.append(entry(bred, rng))
    assert loaded(bred) == bred  # exactly: the file of a finding is the finding


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_every_draw_of_a_swarm_is_within_its_ranges(seed: int) -> None:
    """Else the limits are others than those of the draws, and nothing that came of such a seed could stay."""
    for swarm in (SWARM, load(find("swarm_boards"))):
        assert swarm.random is not None
        assert list(excesses(concretise(swarm, seed), swarm.random, frozenset())) == []


def test_each_change_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that never finds anything to do would only seem to be one."""
    from dcompute_sim.hunt import mutation

    assert SWARM.random is not None
    rng = random.Random(1)
    parents = [entry(concretise(SWARM, seed), rng) for seed in range(1, 30)]
    for change in list(mutation.MUTATIONS):
        monkeypatch.setattr(mutation, "MUTATIONS", {change: 1})
        breeder = Breeder(SWARM.random, frozenset(), rng)
        changed = 0
        for parent, other in zip(parents, reversed(parents), strict=True):
            bred = breeder.breed(parent, other)
            changed += bred.model_copy(update={"seed": 0}) != parent.scenario.model_copy(update={"seed": 0})
        assert changed or change is mutation.Mutation.other_dice, change.__name__


def test_what_is_beyond_the_ranges_is_named() -> None:
    assert SWARM.random is not None
    sound = concretise(SWARM, 5)
    crash, *others = sound.faults
    endless = crash.model_copy(update={"select": type(crash).model_fields["select"].default})
    late = others[0].model_copy(update={"at": 59.0})
    cases = {
        "0 faults": sound.model_copy(update={"faults": []}),
        "takes one that must stay": sound.model_copy(update={"faults": [endless]}),
        "at another time": sound.model_copy(update={"faults": [late]}),
        "network": sound.model_copy(
            update={
                "fleet": {
                    name: group.model_copy(update={"network": group.network.model_copy(update={"loss": 0.5})})
                    for name, group in sound.fleet.items()
                }
            }
        ),
    }
    for said, scenario in cases.items():
        assert any(said in told for told in excesses(scenario, SWARM.random, frozenset())), said
