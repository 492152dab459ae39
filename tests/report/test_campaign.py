"""Campaigns and coverage on the terminal."""

from __future__ import annotations

import io
import re

from sim.checks.campaign import Campaign
from sim.checks.coverage import coverage
from sim.report.campaign import print_campaign, print_coverage
from sim.report.console import make_console


def shown(print_it, what):
    out = io.StringIO()
    print_it(make_console("plain", out), what)
    assert all(len(line) <= 80 for line in out.getvalue().splitlines() if "Again" not in line)
    return out.getvalue()


def test_each_expectation_is_counted_and_the_failing_run_named(good_run, bad_run):
    campaign = Campaign()
    for run in (good_run, bad_run, good_run):
        campaign.add(run.replay, run.verdict)
    text = shown(print_campaign, campaign)
    assert re.search(r"^FAILED +dead_within +2 +1 +0 *$", text, re.M)
    assert re.search(r"^held +callback_once +3 +0 +0 *$", text, re.M)
    assert "FAILED: 3 runs (exit status 1)" in text
    assert text.count(f"Again: {bad_run.replay}") == 1


def test_coverage_shows_what_never_occurred(good_run):
    text = shown(print_coverage, coverage([good_run.events]))
    assert re.search(r"^crash +- +- +- +- +2 +- +- *$", text, re.M)
    assert "10 of 12 pairs of fault and state never occurred." in text


def test_coverage_of_runs_without_faults(fleet):
    text = shown(print_coverage, coverage([fleet(faults=0)] * 2))
    assert text == "No fault hit a node in 2 runs.\n"
