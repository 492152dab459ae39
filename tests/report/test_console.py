"""The verdict on the terminal: complete, within 80 columns, without colour where none is wanted."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import Check
from dcompute_sim.checks.check import CheckOutcome, Measurement, Status
from dcompute_sim.report.console import print_run, print_summary
from dcompute_sim.report.run_report import RunReport, judged, replay_command
from dcompute_sim.report.text import event_line, seconds
from dcompute_sim.terminal import Mode, make_console

ESCAPE = "\x1b["


def printed(run: RunReport, mode: Mode = "plain") -> str:
    out = io.StringIO()
    print_run(make_console(mode, out), run, mode)
    return out.getvalue()


def test_every_expectation_its_measurements_and_the_replay_command_are_shown(good_run: RunReport) -> None:
    text = printed(good_run)
    for result in good_run.verdict.results:
        assert re.search(rf"^held +{result.name}", text, re.M), result.name
    for kind in ("crash", "wifi_drop"):
        assert re.search(rf"dead_within: {kind}( +[\d.,]+){{5}}$", text, re.M), text
    assert re.search(r"^measured, in (ms|s) +count +min +median +max +(judged +)?bound$", text, re.M)
    assert "Again: dcompute run fleet.yaml --seed 7 --broker model --time virtual" in text
    assert "exit status 0" in text


def test_a_failure_shows_the_first_offending_event_in_its_surroundings(bad_run: RunReport) -> None:
    text = printed(bad_run)
    assert re.search(r"^FAILED +dead_within", text, re.M)
    assert re.search(r"^FAILED +priority_order", text, re.M)
    offending = bad_run.verdict.results[0].outcome.offending[0]
    assert f" > {event_line(offending)}" in text
    assert "node_stopped" in text  # what happened around it
    assert "exit status 1" in text


@pytest.mark.parametrize("mode", ["plain", "normal"])
def test_what_is_piped_has_each_row_on_a_line_of_its_own(
    bad_run: RunReport, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    long = "a parameter: longer than 32 columns"
    results = tuple(replace(result, parameters=long) for result in bad_run.verdict.results)
    run = replace(bad_run, verdict=replace(bad_run.verdict, results=results))
    rows = printed(run, mode).splitlines()
    for result in results:
        row = rf"^(held|FAILED) +{re.escape(result.label)} +{re.escape(result.outcome.summary)} *$"
        assert any(re.match(row, line) for line in rows), result.label


@pytest.mark.parametrize("mode", ["plain", "normal"])
def test_tables_fit_80_columns(bad_run: RunReport, mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for line in printed(bad_run, mode).splitlines():
        is_event = line.startswith((" >", "  ")) or "Again" in line  # one event a line, for copying
        assert len(line) <= 80 or is_event, line


def test_quiet_is_one_line_when_all_is_well(good_run: RunReport) -> None:
    assert printed(good_run, "quiet") == "fleet: held, 10 nodes, 48 tasks, 4 faults, seed 7\n"


def test_quiet_names_what_failed_and_how_to_see_it_again(bad_run: RunReport) -> None:
    text = printed(bad_run, "quiet")
    assert "dead_within: FAILED: 1 of 4 deaths never reported" in text
    assert "priority_order: FAILED" in text
    assert "callback_once" not in text
    assert "Again: dcompute run" in text


def test_plain_has_no_escapes_even_on_a_terminal(bad_run: RunReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert ESCAPE not in printed(bad_run, "plain")


def test_colour_on_a_terminal_and_none_with_no_color(
    bad_run: RunReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert f"{ESCAPE}1;31m" in printed(bad_run, "normal")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "31m" not in printed(bad_run, "normal")


def test_names_that_look_like_markup_are_shown_as_they_are(
    story_with: Callable[[str], list[t.Event]], expectations: list[Check]
) -> None:
    run = judged(expectations, story_with("[red]x[/red]-1"))
    assert "[red]x[/red]-1" in printed(run)


@pytest.fixture
def story_with() -> Callable[[str], list[t.Event]]:
    def make(fault: str) -> list[t.Event]:
        return [
            t.RunStarted(
                t_us=0, scenario="s.yaml", seed=1, time="real", broker="model", broker_granularity_s=0
            ),
            t.FaultInjected(t_us=1, fault=fault, kind="crash", node="n"),
            t.RunEnded(t_us=2, reason="finished"),
        ]

    return make


def test_the_summary_of_many_runs_names_the_bad_ones(good_run: RunReport, bad_run: RunReport) -> None:
    out = io.StringIO()
    print_summary(make_console("plain", out), [good_run, bad_run])
    text = out.getvalue()
    assert text.count("fleet  ") == 2
    assert "1 of 2 did not hold" in text
    assert "dead_within: FAILED" in text


def test_the_replay_command_carries_overrides_mutants_and_quotes() -> None:
    started = t.RunStarted(
        t_us=0,
        scenario="my runs/a b.yaml",
        seed=3,
        time="real",
        broker="mosquitto",
        broker_granularity_s=6,
        mutants=["no-will"],
        overrides=["fleet.esp.count=5", "name=a b"],
    )
    assert replay_command(started) == (
        "dcompute run 'my runs/a b.yaml' --seed 3 --broker mosquitto --time real "
        "--set fleet.esp.count=5 --set 'name=a b' --mutant no-will"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0000123, "12.3 us"),
        (0.00153, "1.53 ms"),
        (0.5, "500 ms"),
        (15.3, "15.3 s"),
        (60, "60 s"),
        (3600, "60 min"),
        (9000, "2.50 h"),
        (0, "0 us"),
        (-2, "-2 s"),
    ],
)
def test_seconds_in_words(value: float, text: str) -> None:
    assert seconds(value) == text


def test_a_percentile_is_what_its_bound_is_for(good_run: RunReport) -> None:
    """The worst of a hundred may be over the bound of p95; the row is marked by what is judged."""
    samples = tuple(number / 100 for number in range(1, 101))
    measured = Measurement("sent to result, p95", "s", samples, 0.96, 95)
    result = replace(
        good_run.verdict.results[0],
        outcome=CheckOutcome(Status.HELD, "", {}, (), (measured,)),
        name="latency",
    )
    run = replace(good_run, verdict=replace(good_run.verdict, results=(result,)))
    text = printed(run)
    assert re.search(r"^measured, in ms +count +min +median +max +judged +bound$", text, re.M)
    assert re.search(r"^latency: sent to result, p95 +100 +10 +500 +1,000 +950 +960$", text, re.M), text


def test_tasks_are_counted_as_tasks_and_not_as_sends(good_run: RunReport) -> None:
    events = list(good_run.events)
    (first, at) = next((event, at) for at, event in enumerate(events) if isinstance(event, t.TaskSent))
    again = t.TaskSent(t_us=first.t_us, node=first.node, task=first.task, priority=first.priority, attempt=2)
    run = judged([], [*events[: at + 1], again, *events[at + 1 :]])
    assert f"{good_run.totals.tasks} tasks," in printed(run)
    assert run.totals.sent == good_run.totals.sent + 1
