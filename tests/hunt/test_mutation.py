"""Whatever is bred is a scenario, makes sense, and stays within the swarm's ranges."""

from __future__ import annotations

import random
from collections.abc import Callable, Set
from dataclasses import replace
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from dcompute_sim.faults import KINDS, Fault, MasterFault, NodeFault
from dcompute_sim.faults.malformed import MALFORMED
from dcompute_sim.hunt import fault_mutations, fleet_mutations, mutation
from dcompute_sim.hunt.corpus import Entry
from dcompute_sim.hunt.draft import Draft, is_for_good
from dcompute_sim.hunt.moments import Moment
from dcompute_sim.hunt.mutation import MUTATIONS, TOGETHER, Breeder
from dcompute_sim.hunt.sense import excesses, is_sensible
from dcompute_sim.scenario import Scenario, Swarm, concretise, find, load
from dcompute_sim.scenario.network_settings import OwnNetwork
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
    found = [replace(moment, came={moment.event: moment.count}) for moment in found]
    return Entry(scenario, [("step", "a", "b")], 500, found, frozenset({1}))


def loaded(scenario: Scenario) -> Scenario:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "it.yaml"
        path.write_text(to_yaml(scenario), encoding="utf-8")
        return load(path)


@given(seeds, seeds, seeds)
@settings(max_examples=25, deadline=None)
def test_what_is_bred_over_generations_is_a_scenario_of_the_swarm(one: int, two: int, draws: int) -> None:
    rng = random.Random(draws)
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


def test_each_change_is_made() -> None:
    """A change that never finds anything to do, or makes no sense, would only seem to be one."""
    assert SWARM.random is not None
    rng = random.Random(1)
    parents = [entry(concretise(SWARM, seed), rng) for seed in range(1, 30)]
    for change in (fleet_mutations.made_small, fault_mutations.one_more, *MUTATIONS, *TOGETHER):
        changed = 0
        for parent, other in zip(parents, reversed(parents), strict=True):
            draft = Draft(SWARM.random, frozenset(), rng, parent, other)
            change(draft)
            made = draft.scenario.model_copy(update={"seed": 0}) != parent.scenario.model_copy(
                update={"seed": 0}
            )
            changed += made and is_sensible(draft.scenario, SWARM.random, frozenset())
        assert changed or change is fleet_mutations.other_draws, change.__name__


def test_what_is_bred_costs_less() -> None:
    """Else breeding is no cheaper than seeds, and what it pays for is lost in the cost."""
    assert SWARM.random is not None
    rng = random.Random(1)
    parents = [entry(concretise(SWARM, seed), rng) for seed in range(1, 30)]
    breeder = Breeder(SWARM.random, frozenset(), rng)
    bred = [breeder.breed(*rng.sample(parents, 2)) for _ in range(60)]
    of_fresh = [len(parent.scenario.nodes()) for parent in parents]
    assert mean(len(one.nodes()) for one in bred) < 0.75 * mean(of_fresh)
    assert mean(map(_tasks, bred)) < 0.75 * mean(_tasks(parent.scenario) for parent in parents)
    assert mean(len(one.faults) for one in bred) > mean(len(parent.scenario.faults) for parent in parents)


def _tasks(scenario: Scenario) -> int:
    return sum(stream.tasks or 0 for stream in scenario.workload)


def test_what_is_beyond_the_ranges_is_named() -> None:
    assert SWARM.random is not None
    sound = concretise(SWARM, 5)

    def struck(kind: str, **keys: Any) -> Fault:
        return KINDS[kind].model_validate({"id": "one", "kind": kind, "at": "10s", "sure": True, **keys})

    def grouped(**changed: Any) -> Scenario:
        fleet = {name: group.model_copy(update=changed) for name, group in sound.fleet.items()}
        return sound.model_copy(update={"fleet": fleet})

    noise = struck("malformed", what=next(iter(MALFORMED)))
    lossy = OwnNetwork.model_validate({"latency": "50ms", "loss": "50%"})
    cases = {
        "0 faults": sound.model_copy(update={"faults": []}),
        "7 messages of strangers": sound.model_copy(update={"faults": [struck("reset"), *[noise] * 7]}),
        "takes one that must stay": sound.model_copy(update={"faults": [struck("crash")]}),
        "at another time": sound.model_copy(update={"faults": [struck("reset", at="59s")]}),
        "network": grouped(network=lossy),
        "queue_limit": grouped(queue_limit=61),
        "hold_limit": grouped(hold_limit=None),
    }
    assert list(excesses(sound, SWARM.random, frozenset())) == []
    for said, scenario in cases.items():
        assert any(said in told for told in excesses(scenario, SWARM.random, frozenset())), said
    resets = SWARM.random.model_copy(update={"kinds": ["reset"]})
    assert "one: of a kind that is not drawn" in excesses(
        cases["takes one that must stay"], resets, frozenset()
    )
    unlimited = SWARM.random.model_copy(update={"hold_limit": None})
    assert any("hold_limit" in told for told in excesses(sound, unlimited, frozenset()))


def test_a_bred_fault_strikes_each_master_of_the_swarm_and_none_else(monkeypatch: pytest.MonkeyPatch) -> None:

    rng = random.Random(1)
    whole = SWARM.model_validate(SWARM.model_dump() | {"masters": {"mine": {}}})
    assert whole.random is not None
    crashes = whole.random.model_copy(update={"kinds": ["master_crash"]})
    drawn = [concretise(whole.model_copy(update={"random": crashes}), seed) for seed in range(30)]

    def with_crash_of(master: str, scenario: Scenario) -> Entry:
        crash = {"id": "one", "kind": "master_crash", "at": "10s", "restart_after": "1s", "sure": True}
        noise = [fault for fault in scenario.faults if fault.kind != "master_crash"]
        faults = [KINDS["master_crash"].model_validate(crash | {"master": master}), *noise]
        return entry(scenario.model_copy(update={"faults": faults}), rng)

    shared = with_crash_of("other", next(one for one in drawn if "other" in one.masters))
    alone = with_crash_of("master", next(one for one in drawn if "other" not in one.masters))

    def struck_by(change: Callable[[Draft], None], parent: Entry, other: Entry) -> set[str]:
        monkeypatch.setattr(mutation, "MUTATIONS", {change: 1})
        monkeypatch.setattr(mutation, "MORE_FAULTS", 0)
        bred = [Breeder(crashes, FIXED, rng).breed(parent, other) for _ in range(20)]
        new = [fault for one in bred for fault in one.faults if fault.id != "one"]
        return {fault.master for fault in new if isinstance(fault, MasterFault)}

    assert struck_by(fault_mutations.one_more, shared, alone) == {"master", "other"}
    assert struck_by(fault_mutations.one_more, alone, shared) == {"master"}
    assert struck_by(fault_mutations.spliced, shared, shared) == {"other"}
    assert struck_by(fault_mutations.spliced, alone, shared) == {"master"}


@given(seeds, st.integers(0, len(TOGETHER) + len(MUTATIONS)), seeds)
@settings(max_examples=60, deadline=None)
def test_each_change_alone_leaves_a_scenario_of_the_swarm(seed: int, which: int, draws: int) -> None:
    """Or nothing that would pass for one: what is beyond the ranges is told by them, and never by a crash of
    the reader or of the run."""
    assert SWARM.random is not None
    rng = random.Random(draws)
    parent, other = (entry(concretise(SWARM, one), rng) for one in (seed, seed + 1))
    changes = [fault_mutations.one_more, *TOGETHER, *MUTATIONS]
    draft = Draft(SWARM.random, frozenset(), rng, parent, other)
    draft.lose_few()
    changes[which](draft)
    allowed = ("outages without end", "too few are left", "faults", "takes one that must stay")
    beyond = list(excesses(draft.scenario, SWARM.random, frozenset()))
    assert all(any(words in told for words in allowed) for told in beyond), beyond
    assert loaded(draft.scenario) == draft.scenario


def test_step_by_step_each_waits_for_what_the_one_before_leads_to() -> None:
    """One node, and of its states the counts that come next: none of them was in the parent's run, but for
    the first."""
    assert SWARM.random is not None
    rng = random.Random(1)
    steps = 0
    for seed in range(1, 40):
        scenario = concretise(SWARM, seed)
        node = next(iter(scenario.nodes()))
        came = {"node_connecting": 3, "node_subscribing": 2, "node_connected": 2, "task_taken": 5}
        moment = Moment("node_connecting", node, 3, 5.0, came)
        parent = Entry(scenario, [], 500, [moment], frozenset({1}))
        draft = Draft(SWARM.random, frozenset(), rng, parent, parent)
        before = {fault.id: fault for fault in scenario.faults}
        fault_mutations.step_by_step(draft)
        struck = [fault for fault in draft.scenario.faults if fault != before[fault.id]]
        for fault in struck:
            assert fault.when is not None
            assert fault.when.node == node
            assert not isinstance(fault, NodeFault) or fault.select.names == [node]
            first = (fault.when.event, fault.when.count) == ("node_connecting", 3)
            assert first or fault.when.count > came.get(fault.when.event, 0)
            steps += not first
    assert steps > 20


def test_all_faults_go_step_by_step_at_one_node_or_another() -> None:
    """Rows at several nodes, at none that is gone for good; every other is of resets, after each of which the
    node connects anew, so that the next finds it where it waits for it."""
    assert SWARM.random is not None
    rng = random.Random(1)
    rows, of_resets = 0, 0
    for seed in range(1, 40):
        scenario = concretise(SWARM, seed)
        parent = Entry(scenario, [], 500, [*_connected(scenario)], frozenset({1}))
        draft = Draft(SWARM.random, frozenset(), rng, parent, parent)
        draft.lose_few()
        staying = draft.staying()
        before = {fault.id: fault for fault in draft.scenario.faults}
        fault_mutations.step_by_step(draft)
        at: dict[str, list[Fault]] = {}
        for fault in draft.scenario.faults:
            if fault != before[fault.id]:
                assert fault.when is not None
                assert fault.when.node is not None
                at.setdefault(fault.when.node, []).append(fault)
        assert set(at) <= set(staying)
        free = sum(draft.is_drawn(fault) and not is_for_good(fault) for fault in before.values())
        left = free - sum(map(len, at.values()))
        assert left < 2 or len(at) == len(staying), "what could be a row of its own is left over"
        rows += len(at)
        of_resets += sum({fault.kind for fault in row} == {"reset"} for row in at.values())
    assert 0.4 < of_resets / rows < 0.9
    assert rows > 50


def _connected(scenario: Scenario) -> list[Moment]:
    came = {"node_connecting": 1, "node_subscribing": 1, "node_connected": 1}
    return [Moment("node_connected", node, 1, 2.0, came) for node in scenario.nodes()]


def test_a_death_is_never_dropped_for_another_fault() -> None:
    """A run in which nobody's death is told is undecided, and was in vain."""
    assert SWARM.random is not None
    rng = random.Random(1)
    for seed in range(1, 20):
        parent = entry(concretise(SWARM, seed), rng)
        draft = Draft(SWARM.random, frozenset(), rng, parent, parent)
        deaths = [fault.id for fault in draft.scenario.faults if is_for_good(fault)]
        for _ in range(9):
            draft.add([draft.new("reset", 10.0)])
        assert set(deaths) <= {fault.id for fault in draft.scenario.faults}
        assert len(draft.scenario.faults) > len(deaths)


def test_a_row_strikes_who_stays_and_leaves_itself_time() -> None:
    """What befalls a node that is gone for good, or begins when the storm is over, befalls nobody."""
    assert SWARM.random is not None
    rng = random.Random(1)
    rows = 0
    for seed in range(1, 30):
        parent = entry(concretise(SWARM, seed), rng)
        draft = Draft(SWARM.random, frozenset(), rng, parent, parent)
        late = [draft.at(fault, draft.last_s) for fault in draft.scenario.faults if draft.is_drawn(fault)]
        draft.scenario = draft.scenario.model_copy(update={"faults": late})
        draft.lose_few()
        at_nodes = [fault for fault in draft.scenario.faults if isinstance(fault, NodeFault)]
        lost = {name for fault in at_nodes if is_for_good(fault) for name in fault.select.names or ()}
        fault_mutations.in_a_row(draft)
        struck = [fault for fault in draft.scenario.faults if fault not in late]
        for fault in struck:
            if isinstance(fault, NodeFault) and not is_for_good(fault):
                rows += 1
                assert lost.isdisjoint(fault.select.names or ())
        moved = [fault for fault in struck if not isinstance(fault, NodeFault) or not is_for_good(fault)]
        assert not moved or min(map(draft.begin_s, moved)) < draft.last_s - 1
    assert rows > 50


def test_a_child_makes_sense_as_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of six only one did: in a fleet made small too few were left, so most of the time went into children
    that were thrown away, and those of small fleets, which cost least, were the fewest."""
    tried: list[Scenario] = []

    def judged(made: Scenario, swarm: Swarm, fixed: Set[str]) -> bool:
        tried.append(made)
        return is_sensible(made, swarm, fixed)

    monkeypatch.setattr(mutation, "is_sensible", judged)
    rng = random.Random(1)
    assert SWARM.random is not None
    breeder = Breeder(SWARM.random, frozenset(), rng)
    parents = [entry(concretise(SWARM, seed), rng) for seed in range(1, 30)]
    for parent, other in zip(parents, reversed(parents), strict=True):
        breeder.breed(parent, other)
    assert len(tried) < 1.3 * len(parents)
