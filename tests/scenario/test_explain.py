"""`explain` says in words what the director will do, with the seed's own moments."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from dcompute_sim.scenario import KINDS, Scenario, concretise, fault_times, find, load_all, shipped
from dcompute_sim.scenario.explain import explain
from dcompute_sim.yamlfile.problems import LocatedError
from dcompute_sim.yamlfile.units import format_duration

Load = Callable[..., Scenario]


def test_every_shipped_scenario_can_be_explained() -> None:
    for name in shipped():
        for scenario in load_all(find(name)):
            text = explain(scenario)
            assert scenario.name in text
            assert all(len(line) <= 100 for line in text.splitlines())
            for check in scenario.expect:
                assert check.name in text


def test_moments_are_those_that_will_happen(load_text: Load, full: str) -> None:
    scenario = concretise(load_text(full))
    text = explain(scenario)
    for moment in fault_times(scenario, 1):
        assert f"{format_duration(round(moment, 3))}: wifi_drop on 1 random node, for 10s" in text
    assert explain(load_text(full, seed=1)) != explain(load_text(full, seed=2))


def test_everything_is_said(load_text: Load, full: str) -> None:
    text = " ".join(explain(load_text(full)).split())
    for words in (
        "9 nodes on the model broker, in virtual time, for at most 125s, seed 7",
        "py-1 to py-6: python nodes, switched on from 1s to 3s",
        "5% of tasks fail",
        "64KiB of heap",
        "300ms away, 1ms jitter, 125000B/s, 1% loss",
        "from 5s until 65s: 100 tasks at 20/s, priority 10 1, 1 6, 200B each, to the least busy node",
        "in bursts of 5 every 2s, priority 1..10, to each node of group esp in turn",
        "9 tasks, at most 3 unfinished at a time",
        "1s after number 2 of the events death_reported of group py: 3 tasks at once",
        "10s: crash on 2 random nodes of py, for 5s",
        "slow_link on 50% of the nodes (latency 1s), for 2s",
        "at number 3 of the events task_taken with priority 10: reset on the node of that event",
        "30s: broker_restart (memory: lose), for 2s",
        "31s: inject on 1 random node (to {node}/status)",
        "65s: phase quiet begins",
        "dead_within",
    ):
        assert words in text, f"{words!r} not in:\n{text}"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_fault_has_words(load_text: Load, kind: str) -> None:
    own = {"slow_link": ", latency: 1s", "inject": ", topic: t", "signal": ", rssi: {hall: -90}"}.get(
        kind, ""
    )
    nodes = "kind: firmware, count: 3" if kind in ("wifi_stuck", "signal", "station") else "count: 3"
    nodes += ", access_points: {hall: {}}" if kind == "signal" else ""
    text = explain(
        load_text(
            f"version: 1\nname: k\nduration: 60s\nfleet: {{nodes: {{{nodes}}}}}\n"
            f"faults: [{{kind: {kind}, at: 2s{own}}}]\n"
        )
    )
    assert f"2s: {kind}" in text


def test_what_cannot_be_done_to_a_node_is_refused(load_text: Load) -> None:
    with pytest.raises(LocatedError, match="`wifi_stuck` cannot be done to `py`: it has no Wi-Fi interface"):
        load_text(
            "version: 1\nname: k\nduration: 60s\nfleet: {py: {count: 3}, esp: {kind: firmware}}\n"
            "faults: [{kind: wifi_stuck, at: 2s}]\n"
        )


def test_many_repetitions_are_summed_up(load_text: Load, minimal: str) -> None:
    text = explain(load_text(minimal + "faults: [{kind: reset, every: 1s, times: 40}]\n"))
    assert "reset on 1 random node; 40 times until 40s" in text
    assert text.count("reset") == 1


def test_a_scenario_that_expects_nothing_says_so(load_text: Load, minimal: str) -> None:
    assert "Nothing is expected" in explain(load_text(minimal))
