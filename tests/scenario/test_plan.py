"""When things happen and to whom: phases, repetitions, random moments, arrivals, selection, swarms."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
from collections.abc import Callable
from functools import partial

import pytest
from dcompute_sim.faults import NodeFault, node_faults
from dcompute_sim.faults.crash import Crash
from dcompute_sim.faults.flap import Flap
from dcompute_sim.faults.malformed import MALFORMED, MalformedMessages
from dcompute_sim.faults.power_cut import PowerCut
from dcompute_sim.rng import Rng
from dcompute_sim.scenario import (
    KINDS,
    Candidate,
    Priority,
    Scenario,
    ScenarioError,
    Select,
    When,
    active_until,
    arrivals,
    check,
    concretise,
    fault_times,
    find,
    load,
    phase_starts,
    pick,
)
from dcompute_sim.scenario.distribution import Distribution
from dcompute_sim.scenario.write import to_yaml
from dcompute_sim.trace import MasterStarted, TaskTaken
from dcompute_sim.yamlfile.units import format_duration

Load = Callable[..., Scenario]
BASE = "version: 1\nname: m\nduration: 60s\nfleet: {py: {count: 3}}\n"


def _times(load_text: Load, fault: str, base: str = BASE) -> list[float]:
    return fault_times(concretise(load_text(f"{base}faults:\n- {fault}\n")), 0)


def _arrivals(load_text: Load, stream: str, base: str = BASE, most: int = 10_000) -> list[float]:
    return list(itertools.islice(arrivals(concretise(load_text(f"{base}workload:\n- {stream}\n")), 0), most))


def test_fault_times(load_text: Load) -> None:
    assert _times(load_text, "{kind: crash, at: 3s}") == [3.0]
    assert _times(load_text, "{kind: crash, every: 20s, until: 60s}") == [20.0, 40.0, 60.0]
    assert _times(load_text, "{kind: crash, every: 20s, times: 2}") == [20.0, 40.0]
    assert _times(load_text, "{kind: crash, every: 20s, times: 9}") == [20.0, 40.0, 60.0]  # the run ends
    assert _times(load_text, "{kind: crash, every: 20s, at: 5s, times: 2}") == [5.0, 25.0]
    assert _times(load_text, "{kind: crash, when: task_taken}") == []


def test_repetition_does_not_drift(load_text: Load) -> None:
    times = _times(load_text, "{kind: reset, every: 100ms, times: 599}")
    assert times[-1] == 59.9
    assert len(times) == 599


def test_between_is_drawn_from_the_seed(load_text: Load) -> None:
    text = BASE + "faults:\n- {kind: crash, between: [10s, 40s], times: 50}\n"
    one = fault_times(concretise(load_text(text), 1), 0)
    assert one == fault_times(concretise(load_text(text), 1), 0)
    assert one != fault_times(concretise(load_text(text), 2), 0)
    assert one == sorted(one)
    assert all(10 <= moment <= 40 for moment in one)
    assert max(one) - min(one) > 20


def test_adding_a_fault_does_not_move_the_others(load_text: Load) -> None:
    text = BASE + "faults:\n- {kind: crash, between: [10s, 40s], times: 5}\n"
    more = text + "- {kind: reset, between: [10s, 40s], times: 5}\n"
    assert fault_times(concretise(load_text(text)), 0) == fault_times(concretise(load_text(more)), 0)


PHASED = "version: 1\nname: m\nphases: {a: 10s, b: 20s, quiet: 30s}\nfleet: {py: {count: 3}}\n"


def test_phases_make_times_absolute(load_text: Load) -> None:
    scenario = concretise(load_text(PHASED))
    assert phase_starts(scenario) == {"a": 0.0, "b": 10.0, "quiet": 30.0}
    assert scenario.duration == 60.0
    assert active_until(scenario) == 30.0
    assert _times(load_text, "{kind: crash, phase: b}", PHASED) == [10.0]
    assert _times(load_text, "{kind: crash, phase: b, at: 3s}", PHASED) == [13.0]
    assert _times(load_text, "{kind: crash, phase: b, every: 8s}", PHASED) == [18.0, 26.0]
    assert _times(load_text, "{kind: crash, phase: b, every: 8s, at: 0s, until: 9s}", PHASED) == [10.0, 18.0]
    (moment,) = _times(load_text, "{kind: crash, phase: b, between: [5s, 6s]}", PHASED)
    assert 15 <= moment <= 16
    times = _arrivals(load_text, "{rate: 1/s, phase: b}", PHASED)
    assert (times[0], times[-1], len(times)) == (10.0, 30.0, 21)


def test_concretising_twice_changes_nothing(load_text: Load, full: str) -> None:
    for text in (PHASED, full):
        plain = concretise(load_text(text))
        assert concretise(plain) == plain
        assert all(fault.phase is None for fault in plain.faults)


def test_arrivals(load_text: Load) -> None:
    assert _arrivals(load_text, "{tasks: 3, at: 2s}") == [2.0, 2.0, 2.0]
    assert _arrivals(load_text, "{rate: 2/s, tasks: 4}") == [0.0, 0.5, 1.0, 1.5]
    assert _arrivals(load_text, "{rate: 2/s, until: 1s}") == [0.0, 0.5, 1.0]
    assert _arrivals(load_text, "{burst: 2, every: 5s, tasks: 5}") == [0.0, 0.0, 5.0, 5.0, 10.0]
    assert _arrivals(load_text, "{tasks: 9, at: 1s, loop: {closed: {outstanding: 2}}}") == [1.0, 1.0]
    assert _arrivals(load_text, "{tasks: 1, at: 1s, loop: {closed: {outstanding: 2}}}") == [1.0]


def test_poisson_arrivals_have_the_right_mean(load_text: Load) -> None:
    times = _arrivals(load_text, "{rate: 100/s, arrivals: poisson, until: 50s}")
    assert 4600 < len(times) < 5400
    gaps = {round(b - a, 4) for a, b in itertools.pairwise(times)}
    assert len(gaps) > 100


@pytest.mark.parametrize(
    ("written", "low", "high", "mean"),
    [
        ("20ms", 0.02, 0.02, 0.02),
        ({"uniform": {"min": "1s", "max": "3s"}}, 1, 3, 2),
        ({"normal": {"mean": "2s", "sd": "500ms"}}, 0, 5, 2),
        ({"exponential": {"mean": "2s"}}, 0, 40, 2),
        ({"lognormal": {"median": "1s", "sigma": 0.5}}, 0, 30, 1.133),
    ],
)
def test_distributions(written: object, low: float, high: float, mean: float) -> None:
    work = Distribution.model_validate(written)
    rng = Rng("1")
    draws = [work.draw(rng) for _ in range(4000)]
    assert min(draws) >= low
    assert max(draws) <= high
    assert sum(draws) / len(draws) == pytest.approx(mean, rel=0.1)


def test_priority_weights() -> None:
    priority = Priority.model_validate({10: 1, 5: 3, 1: 6})
    rng = random.Random(1)
    draws = [priority.draw(rng) for _ in range(10_000)]
    assert draws.count(10) / 10_000 == pytest.approx(0.1, abs=0.02)
    assert draws.count(1) / 10_000 == pytest.approx(0.6, abs=0.03)


NODES = [
    Candidate("a-1", "a"),
    Candidate("a-2", "a", status="busy"),
    Candidate("a-3", "a", healthy=False),
    Candidate("b-1", "b"),
    Candidate("b-2", "b", status="busy"),
]


def _pick(same: str = "", seed: int = 1, **select: object) -> list[str]:
    return pick(Select.model_validate(select), NODES, random.Random(seed), same)


def test_selection() -> None:
    assert len(_pick()) == 1
    assert _pick(group="a", count="all") == ["a-1", "a-2"]  # a-3 is not healthy
    assert _pick(group=["a", "b"], count=9) == ["a-1", "a-2", "b-1", "b-2"]
    assert _pick(status="busy", count="all") == ["a-2", "b-2"]
    assert _pick(status=["ready"], group="b") == ["b-1"]
    assert len(_pick(fraction="50%")) == 2
    assert len(_pick(fraction="1%")) == 1
    assert _pick(names=["a-3", "b-1"]) == ["a-3", "b-1"]  # by name: even one that is not healthy
    assert _pick(names=["a-3", "b-1"], status="busy") == []
    assert len(_pick(names=["a-1", "b-1"], count=1)) == 1
    assert _pick(group="none") == []


def test_selecting_the_node_of_the_event() -> None:
    select = Select(same=True)
    assert pick(select, NODES, random.Random(1), same="b-2") == ["b-2"]
    assert pick(select, NODES, random.Random(1), same="gone-1") == []


def test_selection_is_random_but_seeded() -> None:
    picks = {tuple(_pick(seed=seed)) for seed in range(50)}
    assert len(picks) == 4
    assert _pick(seed=5) == _pick(seed=5)


def test_when_matches_by_event_node_group_and_fields() -> None:
    event = TaskTaken(t_us=1, node="a-1", task="t", priority=10)
    groups = {"a-1": "a"}
    assert When(event="task_taken").matches(event, groups)
    assert When(event="task_taken", node="a-1", group="a", where={"priority": 10}).matches(event, groups)
    assert not When(event="task_taken", node="a-2").matches(event, groups)
    assert not When(event="task_taken", group="b").matches(event, groups)
    assert not When(event="task_taken", where={"priority": 9}).matches(event, groups)
    assert not When(event="task_finished").matches(event, groups)
    assert not When(event="master_started", node="a-1").matches(MasterStarted(t_us=1, boot=1), groups)


def test_groups_network_lies_over_the_scenarios(load_text: Load, full: str) -> None:
    network = load_text(full).network_of("py")
    assert network.latency == 0.3  # its own
    assert network.loss == 0.01  # the scenario's


# --- swarms -----------------------------------------------------------------------------------------------


_CONNECTED_S = 6.0  # the ramps are over
NOISE = {"inject", "malformed"}
DRAWN = {kind for kind, fault in KINDS.items() if fault.drawn}


@pytest.fixture
def swarm() -> Scenario:
    return load(find("swarm"))


def test_a_swarm_is_a_plain_scenario_that_anyone_could_have_written(swarm: Scenario, load_text: Load) -> None:
    for seed in range(40):
        plain = concretise(swarm, seed)
        check(plain)
        assert plain.random is None
        assert load_text(to_yaml(plain)) == plain
        assert 3 <= len(plain.nodes()) <= 12
        noise = [fault for fault in plain.faults if fault.kind in NOISE]
        assert 1 <= len(plain.faults) - len(noise) <= 8
        assert len(noise) <= 6


def test_swarms_draw_every_kind_of_fault(swarm: Scenario) -> None:
    drawn = [fault for seed in range(200) for fault in concretise(swarm, seed).faults]
    assert {fault.kind for fault in drawn} == DRAWN | NOISE
    broken = {fault.what for fault in drawn if isinstance(fault, MalformedMessages)}
    assert broken == set(MALFORMED)


def test_swarms_draw_namespaces_and_limits(swarm: Scenario) -> None:
    plain = [concretise(swarm, seed) for seed in range(40)]
    assert {scenario.namespace for scenario in plain} == {"", "plant-1", "a/b/c"}
    limits = [group.queue_limit or 0 for scenario in plain for group in scenario.fleet.values()]
    assert 8 <= min(limits) < max(limits) <= 60
    assert {other.losses for scenario in plain for other in scenario.masters.values()} == {20}


def test_a_swarm_is_over_before_its_quiet_time(swarm: Scenario) -> None:
    for seed in range(200):
        plain = concretise(swarm, seed)
        quiet = active_until(plain)
        for index, fault in enumerate(plain.faults):
            moment = fault_times(plain, index)[0] if fault.when is None else _CONNECTED_S + fault.when.after
            end = moment + (fault.lasts or 0.0)
            if isinstance(fault, Flap):
                end = moment + fault.cycles * (fault.down + fault.up)
            assert end <= quiet, f"seed {seed}: {fault.kind} until {format_duration(end)}"
        for index in range(len(plain.workload)):
            assert max(arrivals(plain, index), default=0.0) <= quiet


def test_kinds_narrow_what_is_drawn(load_text: Load) -> None:
    drawn = "{kinds: [crash, reset], faults: [5, 5], nodes: [4, 4], node_kinds: [firmware]}"
    text = f"version: 1\nname: s\nrandom: {drawn}\n"
    for seed in range(10):
        plain = concretise(load_text(text), seed)
        assert {fault.kind for fault in plain.faults} <= {"crash", "reset"}
        assert {group.kind for group in plain.fleet.values()} == {"firmware"}
        assert len(plain.nodes()) == 4


def test_same_seed_same_swarm_in_any_process() -> None:
    code = (
        "from dcompute_sim.scenario import *; from dcompute_sim.scenario.write import to_yaml; "
        "import hashlib; "
        "s = load(find('swarm')); "
        "print(hashlib.sha256(''.join(to_yaml(concretise(s, n)) for n in range(20)).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1")
    }
    assert len(digests) == 1
    assert concretise(load(find("swarm")), 1) != concretise(load(find("swarm")), 2)


def test_the_broker_is_settled(load_text: Load) -> None:
    assert concretise(load_text(BASE)).broker == "model"
    assert concretise(load_text(BASE + "time: real\n")).broker == "embedded"
    assert concretise(load_text(BASE + "broker: mosquitto\n")).broker == "mosquitto"


def test_a_swarm_puts_its_expectations_to_the_test(swarm: Scenario) -> None:
    """Somebody's death is told at once, and on one node tasks of several priorities arrive together, which is
    there for the second of these piles (found by seeds 41, 848 and 3990)."""
    for seed in range(50):
        plain = concretise(swarm, seed)
        assert plain.faults[0].kind in ("crash", "reset")
        assert isinstance(plain.faults[0], NodeFault)
        steady, piles = plain.workload[:-2], plain.workload[-2:]
        assert [stream.master for stream in steady] == ["master", *plain.masters]
        assert piles[1].at == 0.95 * 60
        assert [len(pile.priority.weights) for pile in piles] == [
            10,
            3,
        ]  # at the end some are of one priority
        assert piles[1].target.node == "swarm1-1"
        assert piles[1].via == "transport"
        for pile in piles:
            assert pile.rate is None
        outages = [fault for fault in plain.faults if not isinstance(fault, NodeFault)]
        assert len(outages) <= 3  # seed 5917: the last one waited for the others until the storm was over
        assert all(fault.at is not None and fault.at <= 36 for fault in outages)
        for fault in plain.faults:
            if isinstance(fault, Crash | PowerCut) and fault.lasts is None:
                assert fault.select.names is not None
                assert "swarm1-1" not in fault.select.names


def test_a_swarm_also_hits_nodes_while_they_connect(swarm: Scenario) -> None:
    """The event that such a fault waits for comes in the ramp: every node connects once at least."""
    aimed = [
        (plain, fault)
        for plain in map(partial(concretise, swarm), range(100))
        for fault in plain.faults
        if fault.when is not None and fault.when.event == "node_connecting"
    ]
    assert {fault.kind for _, fault in aimed} == set(node_faults()) & DRAWN - {"ap_gone"}
    for plain, fault in aimed:
        assert fault.when is not None
        assert fault.when.group is not None
        assert fault.when.count <= plain.fleet[fault.when.group].count
        assert fault.sure


ENTRIES = """\
version: 1
name: entries
seed: 5
duration: 60s
fleet: {py: {count: 9}}
workload:
- {rate: 1/s, arrivals: poisson, until: 20s}
- {rate: 1/s, arrivals: poisson, until: 30s}
- {rate: 2/s, arrivals: poisson, until: 30s, id: mine}
faults:
- {kind: crash, between: [1s, 50s]}
- {kind: reset, between: [1s, 50s]}
- {kind: reset, between: [1s, 50s]}
- {kind: hang, between: [1s, 50s], for: 3s}
"""


def _draws(scenario: Scenario) -> dict[str, list[float]]:
    """What is drawn for each entry, by its id."""
    faults = {f.id or "": fault_times(scenario, i) for i, f in enumerate(scenario.faults)}
    streams = {s.id or "": list(arrivals(scenario, i)) for i, s in enumerate(scenario.workload)}
    return faults | streams


def test_an_entry_that_goes_moves_no_other(load_text: Load) -> None:
    """In the file, and in what `concretise` made of it; whatever else the remaining ones are changed to."""
    plain = load_text(ENTRIES)
    concrete = concretise(plain)
    before = _draws(concrete)
    assert len(before) == 7
    assert "mine" in before
    assert len({tuple(times) for times in before.values()}) == 7
    for section in ("faults", "workload"):
        for index in range(len(getattr(plain, section))):
            for scenario in (plain, concrete):
                left = [e for i, e in enumerate(getattr(scenario, section)) if i != index]
                after = _draws(concretise(scenario.model_copy(update={section: left})))
                assert after.items() <= before.items(), (section, index)


def test_entries_with_one_name_are_refused(load_text: Load) -> None:
    with pytest.raises(ScenarioError, match="`mine` is the name of two entries, 1 and 2"):
        load_text(ENTRIES.replace("until: 30s}\n-", "until: 30s, id: mine}\n-"))
