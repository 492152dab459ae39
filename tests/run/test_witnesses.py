"""Faults of which nothing was seen: what would show them, what is said, and who is content without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks.check import Status
from dcompute_sim.checks.verdict import Result
from dcompute_sim.faults import KINDS, Fault
from dcompute_sim.recorder import Recorder
from dcompute_sim.run import RunOutcome, run_scenario
from dcompute_sim.scenario import Scenario


def outcome_of(*faults: dict[str, Any], kind: str = "python", **keys: Any) -> RunOutcome:
    scenario = {
        "version": 1,
        "name": "witnesses",
        "phases": {"storm": "60s", "quiet": "60s"},
        "fleet": {"n": {"count": 2, "keepalive": "60s", "kind": kind}},
        "faults": faults,
        "expect": ["final_status"],
        **keys,
    }
    return run_scenario(Scenario.model_validate(scenario))


def receipts_of(outcome: RunOutcome) -> Result:
    return next(result for result in outcome.verdict.results if result.name == "fault_receipts")


def effects_of(outcome: RunOutcome) -> list[str]:
    return [event.effect for event in outcome.trace if isinstance(event, t.FaultEffect)]


# --- what is said ----------------------------------------------------------------------------------------


def test_a_silence_that_heals_unnoticed_is_undecided_and_says_what_would_help() -> None:
    outcome = outcome_of({"kind": "ap_gone", "at": "10s", "for": "5s"})
    found = receipts_of(outcome)
    assert outcome.verdict.status is Status.INCONCLUSIVE
    assert "ap_gone-1, ap_gone-2: nothing wanted to cross while it lasted" in found.outcome.summary
    assert "a keepalive shorter than the fault" in found.outcome.summary
    assert "`witness: optional`" in found.outcome.summary


def test_a_fault_that_found_no_connection_says_so() -> None:
    gone = {"kind": "wifi_drop", "at": "5s", "for": "50s", "select": {"count": "all"}}
    late = {"kind": "reset", "at": "130ms", "select": {"names": ["n-1"]}}
    outcome = outcome_of(gone, {**late, "at": "0s"})
    assert "reset-1: no connection of the node was seen to end" in receipts_of(outcome).outcome.summary


def test_a_fault_that_found_nobody_or_whose_event_never_came_says_so() -> None:
    nobody = {"kind": "crash", "at": "5s", "select": {"status": "never"}}
    never = {"kind": "reset", "when": {"event": "death_reported", "count": 9}}
    told = receipts_of(outcome_of(nobody, never)).outcome.summary
    assert "crash-1: there was no node that it could strike" in told
    assert "reset-2: its event never came" in told


@pytest.mark.parametrize(
    ("witness", "status"), [("required", Status.INCONCLUSIVE), ("optional", Status.HELD)]
)
def test_a_scenario_can_be_content(witness: str, status: Status) -> None:
    idle = {"kind": "wifi_drop", "at": "10s", "for": "5s", "witness": witness}
    found = receipts_of(outcome_of(idle))
    assert found.outcome.status is status
    assert found.outcome.figures["without_effect"] == 1


# --- the WLAN's own events -------------------------------------------------------------------------------


def test_a_short_drop_is_invisible_to_a_board_unless_the_access_point_says_goodbye() -> None:
    """A WLAN misses beacons for 6 s before it believes that its network is gone."""
    drop = {"kind": "wifi_drop", "at": "20s", "for": "3s", "select": {"names": ["n-1"]}}
    assert receipts_of(outcome_of(drop, kind="firmware")).outcome.status is Status.INCONCLUSIVE
    kicked = outcome_of({**drop, "kick": True}, kind="firmware")
    assert any("its WLAN lost the network" in effect for effect in effects_of(kicked))
    assert kicked.verdict.status is Status.HELD, [r.outcome for r in kicked.verdict.results]


def test_what_a_wlan_notices_is_a_witness() -> None:
    drop = {"kind": "wifi_drop", "at": "20s", "for": "8s", "select": {"names": ["n-1"]}}
    outcome = outcome_of(drop, kind="firmware")
    assert any("its WLAN lost the network" in effect for effect in effects_of(outcome))
    assert outcome.verdict.status is Status.HELD, [r.outcome for r in outcome.verdict.results]


# --- reconnections ---------------------------------------------------------------------------------------


class Story:
    """A recorder with a clock of its own, for one node `n` that has a connection."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.recorder = Recorder(t.Trace(), lambda: round(self.now_s * 1e6))
        self.recorder.opened("n", 1)

    def at(self, now_s: float) -> Recorder:
        self.now_s = now_s
        return self.recorder


def fault(kind: str) -> Fault:
    return KINDS[kind].model_validate({"kind": kind, "at": "1s"})


def silent_for_5s(story: Story, kind: str = "wifi_drop") -> None:
    story.at(10).fault("f", fault(kind), "n")
    story.at(15).fault_ended("f", "n")


def test_a_new_connection_after_a_silence_is_its_witness() -> None:
    story = Story()
    silent_for_5s(story)
    story.at(20).opened("n", 2)
    assert story.recorder.has_bitten("f")


def not_about_it(story: Story) -> None:
    story.at(20).opened("m", 2)


def long_after(story: Story) -> None:
    story.at(80).opened("n", 2)


def another_fault_meanwhile(story: Story) -> None:
    story.at(16).fault("g", fault("reset"), "n")
    story.at(20).opened("n", 2)


def an_outage_meanwhile(story: Story) -> None:
    story.at(16).fault("g", fault("broker_restart"))
    story.at(20).opened("n", 2)


@pytest.mark.parametrize("then", [not_about_it, long_after, another_fault_meanwhile, an_outage_meanwhile])
def test_a_connection_that_something_else_explains_is_none(then: Callable[[Story], None]) -> None:
    story = Story()
    silent_for_5s(story)
    then(story)
    assert not story.recorder.has_bitten("f")


def test_a_node_that_had_no_connection_shows_nothing_by_making_one() -> None:
    story = Story()
    story.at(5).closed("n", 1, "fin", "node", 0.0)
    silent_for_5s(story)
    story.at(20).opened("n", 2)
    assert not story.recorder.has_bitten("f")


def test_only_silences_have_late_witnesses() -> None:
    story = Story()
    story.at(10).fault("f", fault("hang"), "n")
    story.at(15).fault_ended("f", "n")
    story.at(20).opened("n", 2)
    assert not story.recorder.has_bitten("f")


# --- messages that need no node --------------------------------------------------------------------------


def test_a_fault_that_waited_in_vain_says_for_whom_and_what_kept_it_off() -> None:
    off = {"kind": "power_cut", "at": "5s", "select": {"names": ["n-1"]}}
    sure = {"kind": "crash", "at": "20s", "sure": True, "select": {"names": ["n-1"]}}
    told = receipts_of(outcome_of(off, sure)).outcome.summary
    assert (
        "crash-2: there was no node that it could strike (n-1 was off) from 20.0 s until the quiet end"
        in told
    )
    assert "`sure: true`" not in told
    held = {"kind": "hang", "at": "5s", "for": "500s", "select": {"names": ["n-1"]}}
    told = receipts_of(outcome_of(held, sure)).outcome.summary
    assert "(n-1 was held by another fault) from 20.0 s" in told


@pytest.mark.parametrize("sure", [True, False])
def test_a_message_to_a_fixed_topic_needs_no_free_node(sure: bool) -> None:
    gone = {"kind": "power_cut", "at": "5s", "select": {"count": "all"}}
    message = {"kind": "inject", "at": "20s", "topic": "results", "payload": "no json", "sure": sure}
    outcome = outcome_of(gone, message)
    (injected,) = (e for e in outcome.trace if isinstance(e, t.FaultInjected) and e.kind == "inject")
    assert (injected.node, injected.t_s) == ("", 20.0)
    assert outcome.verdict.status is Status.HELD, [r.outcome for r in outcome.verdict.results]
    assert any(isinstance(e, t.MessageRejected) for e in outcome.trace)


def test_a_message_about_a_node_needs_one() -> None:
    gone = {"kind": "power_cut", "at": "5s", "select": {"count": "all"}}
    message = {"kind": "inject", "at": "20s", "topic": "{node}/task", "payload": "no json"}
    assert "no node that it could strike" in receipts_of(outcome_of(gone, message)).outcome.summary
