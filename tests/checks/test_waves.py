"""`waves_kept`: what a campaign may not do, one thing at a time, told beforehand."""

from __future__ import annotations

from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import Status
from dcompute_sim.checks.waves_kept import WavesKept

BOARDS = ["a", "b", "c", "d"]
Told = tuple[float, type[t.Event], dict[str, Any]]


def plan(**declared: Any) -> Told:
    return (0, t.CampaignStarted, {"version": "v2", "nodes": BOARDS, "wave": 0.5, "pause_s": 5.0} | declared)


def begun(at_s: float, *nodes: str, version: str = "v2") -> list[Told]:
    return [(at_s, t.UpdateStarted, {"node": n, "version": version, "before": "v1"}) for n in nodes]


def moved(at_s: float, node: str, *states: str, version: str = "v2") -> list[Told]:
    return [(at_s, t.UpdateState, {"node": node, "version": version, "state": state}) for state in states]


def ended(at_s: float, aborted: str = "") -> Told:
    return (at_s, t.CampaignEnded, {"version": "v2", "aborted": aborted})


def started(at_s: float) -> Told:
    return (at_s, t.MasterStarted, {"boot": 2})


def stopped(at_s: float) -> Told:
    return (at_s, t.MasterStopped, {"how": "crash"})


def tried(at_s: float) -> list[Told]:
    """Try `a` again, without an answer."""
    return [*begun(at_s, "a"), *moved(at_s + 9, "a", "failed")]


LATER: Told = (90, t.MasterConnected, {})
CANARY = [*begun(0, "a"), *moved(9, "a", "sending", "switching", "confirmed")]
BAD = [*begun(0, "a"), *moved(9, "a", "sending", "switching", "rolled back")]
BOTH = [
    *begun(0, "a", "b"),
    *moved(9, "a", "sending", "confirmed"),
    *moved(12, "b", "sending", "rolled back"),
]
SENT_BACK = begun(13, "a", version="v1")

SILENT = [*begun(0, "a"), *moved(9, "a", "failed")]
LAST = [*begun(14, "b", "c"), *moved(15, "b", "confirmed"), *moved(15, "c", "confirmed")]
LAST += [*begun(25, "d"), *moved(26, "d", "confirmed")]
ABORTED_BESIDE = [
    plan(first=2, abort=0.4),
    *begun(0, "a", "b"),
    *moved(9, "a", "failed"),
    *moved(12, "b", "sending", "rolled back"),
]

STORIES: list[tuple[str, Status, str, list[Told]]] = [
    ("as declared", Status.HELD, "2 waves", [plan(), *CANARY, *begun(14, "b", "c"), ended(20)]),
    ("no pause", Status.FAILED, "4.0 s after the wave", [plan(), *CANARY, *begun(13, "b"), ended(20)]),
    ("too many", Status.FAILED, "a wave of 3", [plan(), *CANARY, *begun(14, *"bcd"), ended(20)]),
    ("two canaries", Status.FAILED, "a wave of 2, 1", [plan(), *begun(0, "a", "b"), ended(20)]),
    ("another first", Status.FAILED, "before the canaries", [plan(canaries=("d",)), *CANARY, ended(20)]),
    ("impatient", Status.FAILED, "while a was", [plan(), *begun(0, "a"), *begun(9, "b"), ended(20)]),
    ("half may fail", Status.HELD, "0 aborted", [plan(first=2, abort=0.5), *BOTH, ended(20)]),
    ("half fail", Status.HELD, "1 aborted", [plan(first=2, abort=0.4), *BOTH, *SENT_BACK, ended(20, "so")]),
    ("goes on", Status.FAILED, "not aborted", [plan(first=2, abort=0.4), *BOTH, ended(20)]),
    (
        "gives up",
        Status.FAILED,
        "failed, 50% may: aborted",
        [plan(first=2, abort=0.5), *BOTH, ended(20, "so")],
    ),
    ("not back", Status.FAILED, "not sent back", [plan(first=2, abort=0.4), *BOTH, ended(20, "so")]),
    (
        "back",
        Status.FAILED,
        "to stay",
        [plan(first=2, abort=0.4, back=False), *BOTH, *SENT_BACK, ended(20, "so")],
    ),
    (
        "one more",
        Status.FAILED,
        "was to be aborted",
        [plan(abort=0.4), *BAD, *begun(20, "b"), ended(30, "so")],
    ),
    (
        "silent",
        Status.HELD,
        "0 aborted",
        [plan(nodes=["a"], abort=0.0), *SILENT, *tried(20), ended(30)],
    ),
    ("one try, one declared", Status.HELD, "", [plan(nodes=["a"], tries=1), *SILENT, ended(9)]),
    ("one try", Status.FAILED, "tried 1 time, 2", [plan(nodes=["a"]), *SILENT, ended(9)]),
    ("no second try was due", Status.HELD, "1 aborted", [*ABORTED_BESIDE, ended(40, "so")]),
    ("none further", Status.FAILED, "to be aborted", [*ABORTED_BESIDE, *tried(40), ended(50, "so")]),
    (
        "three tries",
        Status.FAILED,
        "tried 3 times, 2",
        [plan(), *SILENT, *LAST, *tried(40), *tried(60), ended(70)],
    ),
    ("tried too soon", Status.FAILED, "while 3 boards waited", [plan(), *SILENT, *tried(20), ended(40)]),
    (
        "tried without a pause",
        Status.FAILED,
        "0.0 s after",
        [plan(nodes=["a"]), *SILENT, *tried(9), ended(40)],
    ),
    (
        "it had answered",
        Status.FAILED,
        "it had answered",
        [plan(nodes=["a"]), *CANARY, *tried(20), ended(40)],
    ),
    (
        "went on with its try after a crash",
        Status.HELD,
        "",
        [plan(nodes=["a"]), *begun(0, "a"), started(4), *tried(5), *tried(20), ended(40)],
    ),
    (
        "a crash as it ended: the try may count",
        Status.HELD,
        "",
        [plan(nodes=["a"]), *SILENT, stopped(9.5), started(12), *tried(12), ended(40)],
    ),
    (
        "a crash as it ended: the try may not count",
        Status.HELD,
        "",
        [plan(nodes=["a"]), *SILENT, stopped(9.5), started(12), *tried(12), *tried(27), ended(40)],
    ),
    (
        "a crash later",
        Status.FAILED,
        "tried 3 times",
        [plan(nodes=["a"]), *SILENT, stopped(15), started(16), *tried(16), *tried(35), ended(50)],
    ),
    (
        "given up",
        Status.FAILED,
        "not aborted",
        [plan(abort=0.0), *begun(0, "a"), *moved(9, "a", "sending", "failed"), ended(9)],
    ),
    (
        "refused",
        Status.FAILED,
        "not aborted",
        [plan(abort=0.0), *begun(0, "a"), *moved(9, "a", "refused"), ended(9)],
    ),
    (
        "goes on after a crash",
        Status.HELD,
        "",
        [plan(), *begun(0, "a"), started(4), *begun(5, "a"), *moved(9, "a", "confirmed"), ended(20)],
    ),
    (
        "left by a crash",
        Status.FAILED,
        "when the master crashed",
        [plan(), *begun(0, "a"), started(4), LATER],
    ),
    (
        "left on its way back",
        Status.FAILED,
        "when the master crashed",
        [plan(first=2, abort=0.4), *BOTH, *SENT_BACK, started(14), LATER],
    ),
    (
        "once more",
        Status.FAILED,
        "a got v2 once more",
        [
            plan(),
            *begun(0, "a"),
            *moved(3, "a", "switching"),
            started(9),
            *begun(9, "a"),
            *moved(12, "a", "sending", "switching", "rolled back"),
            ended(20, "so"),
        ],
    ),
    ("not over", Status.INCONCLUSIVE, "was not over", [plan(), *CANARY]),
    ("none", Status.INCONCLUSIVE, "no campaign", [started(4)]),
]


@pytest.mark.parametrize(("status", "words", "story"), [s[1:] for s in STORIES], ids=[s[0] for s in STORIES])
def test_a_campaign_is_judged_by_what_was_declared(status: Status, words: str, story: list[Told]) -> None:
    told = [kind(t_us=round(at_s * 1e6), **fields) for at_s, kind, fields in story]
    outcome = WavesKept().judge(told)
    assert (outcome.status, words in outcome.summary) == (status, True), outcome.summary


def test_ends_at_one_moment_may_be_taken_in_in_any_order() -> None:
    """The bad one first, one of one has failed; the good one first, one of two."""
    at_once = [*begun(0, "a", "b"), *moved(9, "a", "confirmed"), *moved(9.2, "b", "rolled back")]
    for end in ([ended(20)], [*SENT_BACK, ended(20, "so")]):
        story = [plan(first=2, abort=0.5), *at_once, *end]
        told = [kind(t_us=round(at_s * 1e6), **fields) for at_s, kind, fields in story]
        assert WavesKept().judge(told).status is Status.HELD
