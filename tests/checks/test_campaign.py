"""Many runs: what one leaves open another decides, and one failure is enough."""

from __future__ import annotations

import pytest

from sim.checks import CHECKS, Status
from sim.checks.campaign import Campaign
from sim.checks.verdict import judge

EXPECTED = [CHECKS["callback_once"](), CHECKS["no_errors_in_log"]()]


@pytest.fixture
def verdicts(story):
    story.define("n").boot("n")
    nothing_died = judge(EXPECTED, story.end())
    story.events.pop()
    story.at(5).crash("n")
    held = judge(EXPECTED, story.end())
    story.events.pop()
    story.death("n")
    return {"undecided": nothing_died, "held": held, "failed": judge(EXPECTED, story.end())}


@pytest.mark.parametrize(
    ("runs", "exit_status"),
    [
        (["held"], 0),
        (["undecided"], 2),
        (["undecided", "held", "undecided"], 0),
        (["held", "failed", "held"], 1),
        (["undecided", "failed"], 1),
        ([], 2),
    ],
)
def test_exit_status(verdicts, runs, exit_status):
    campaign = Campaign()
    for number, name in enumerate(runs):
        campaign.add(f"seed {number}", verdicts[name])
    assert campaign.exit_status == exit_status


def test_the_first_failing_run_is_remembered(verdicts):
    campaign = Campaign()
    for number, name in enumerate(["held", "failed", "failed", "undecided"]):
        campaign.add(f"seed {number}", verdicts[name])
    tally = campaign.tallies["callback_once"]
    assert (tally.held, tally.failed, tally.inconclusive) == (1, 2, 1)
    assert tally.first_failed == "seed 1"
    assert tally.status is Status.FAILED
