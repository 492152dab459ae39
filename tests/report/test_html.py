"""The HTML report, opened in a real browser: self-contained, quick, true to the trace."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import Check
from dcompute_sim.report.html import MAX_WORK, html
from dcompute_sim.report.run_report import RunReport, judged

from benchmarks.browser import Browser

from .conftest import NewFleet

SHOWN = "document.getElementById('shown').textContent"


def data_of(page: str) -> Any:
    script = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)
    assert script is not None
    return json.loads(script[1])


def type_into(browser: Browser, element: str, value: str) -> None:
    browser.js(
        f"const e = document.getElementById({element!r}), value = {value!r};"
        "e.value = value; e.checked = value === 'on';"
        "e.dispatchEvent(new Event('input', {bubbles: true})); null"
    )


def in_sight(browser: Browser, entry: str) -> int:
    """How many of a kind of thing the legend counts."""
    return int(browser.js(f"document.querySelector('[data-entry=\"{entry}\"]').dataset.count"))


def test_the_page_names_nothing_to_fetch(good_run: RunReport) -> None:
    page = html(good_run)
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page)
    assert good_run.replay in page


def test_names_and_texts_cannot_break_out_of_the_page(expectations: list[Check]) -> None:
    evil = "</script><script>alert(1)</script><b>"
    events = [
        t.RunStarted(t_us=0, scenario=evil, seed=1, time="real", broker=evil, broker_granularity_s=0),
        t.NodeDefined(t_us=0, node=evil, group=evil, kind="python", keepalive_s=1),
        t.LogLine(t_us=1, who=evil, level="error", text=evil),
        t.FaultInjected(t_us=1, fault=evil, kind="crash", node=evil),
        t.RunEnded(t_us=2, reason="finished"),
    ]
    page = html(judged(expectations, events))
    assert evil not in page
    assert data_of(page)["nodes"] == [evil]


def test_too_many_tasks_are_thinned_but_no_inversion_is_lost(
    fleet: NewFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dcompute_sim.report.html.MAX_WORK", 50)
    events = fleet(nodes=20)
    backwards = next(e for e in events if isinstance(e, t.TaskTaken))
    events[events.index(backwards)] = t.TaskTaken(
        t_us=backwards.t_us, node=backwards.node, task=backwards.task, priority=0
    )
    work = data_of(html(judged([], events)))["work"]
    assert work["of"] == 108 <= MAX_WORK
    assert len(work["task"]) < 60
    assert backwards.task in [
        task for task, passed in zip(work["task"], work["passed"], strict=True) if passed
    ]


def test_it_opens_quickly_and_shows_what_the_trace_says(
    browser: Browser,
    fleet: NewFleet,
    expectations: list[Check],
    tmp_path: Path,
) -> None:
    nodes = 1000
    run = judged(expectations, fleet(nodes=nodes, faults=max(4, nodes // 20)))
    page = tmp_path / "report.html"
    page.write_text(html(run), "utf-8")
    assert page.stat().st_size < 2_000_000
    # on a busy machine the clock on the wall may run on without the browser: its processor time does not
    assert any(browser.open(page) < 3000 for _ in range(4))
    assert browser.cpu_s() < 3
    assert browser.problems() == []
    assert browser.requests() == []
    assert browser.js(SHOWN) == f"{nodes} of {nodes} nodes"

    seen = [e for e in run.events if isinstance(e, t.NodeStatusSeen)]
    assert in_sight(browser, "ready") == sum(e.status == "ready" for e in seen)
    assert in_sight(browser, "dead") == sum(e.status == "dead" for e in seen)
    assert in_sight(browser, "task") == sum(isinstance(e, t.TaskTaken) for e in run.events)
    assert in_sight(browser, "death reported") == run.totals.deaths
    assert in_sight(browser, "crash") == run.totals.faults["crash"]

    browser.js("document.getElementById('lanes').scrollIntoView()")
    pixels = browser.colours(["#bfe3cd", "#cdb7e0", "#5b2a86", "#c62828"])
    assert pixels[0] > 20_000, "the lanes of ready nodes"
    assert pixels[1] > 100, "the dead"
    assert pixels[2] > 100, "the reports of deaths"
    assert pixels[3] == 0, "nothing is red on a run that held"


def test_an_entry_of_the_legend_hides_what_it_names(
    browser: Browser, fleet: NewFleet, expectations: list[Check], tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    page.write_text(html(judged(expectations, fleet(nodes=50, faults=20))), "utf-8")
    browser.open(page)
    dead = "#cdb7e0"
    assert browser.colours([dead])[0] > 100
    browser.js("document.querySelector('[data-entry=dead]').click()")
    browser.until("document.querySelector('[data-entry=dead]').getAttribute('aria-pressed') === 'false'")
    assert browser.colours([dead])[0] < 100


def test_pointing_at_a_node_says_what_it_was_doing(
    browser: Browser, fleet: NewFleet, expectations: list[Check], tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    page.write_text(html(judged(expectations, fleet(nodes=4, faults=0))), "utf-8")
    browser.open(page)
    browser.js("document.getElementById('lanes').scrollIntoView()")
    browser.js(
        "lanes.plot.setCursor({left: lanes.plot.valToPos(50, 'x'), top: lanes.plot.valToPos(-2, 'y')}); null"
    )
    told = browser.js("document.querySelector('#lanes .tip').textContent").split("\n")
    assert told[0].startswith("pi-0003 at ")
    assert told[1].startswith("ready for ")


def test_filter_and_zoom_find_one_node_in_a_thousand(
    browser: Browser, fleet: NewFleet, expectations: list[Check], tmp_path: Path
) -> None:
    run = judged(expectations, fleet(nodes=1000, faults=20))
    page = tmp_path / "report.html"
    page.write_text(html(run), "utf-8")
    browser.open(page)
    type_into(browser, "find", "esp-0500")
    browser.until(f"{SHOWN} === '1 of 1000 nodes'")
    type_into(browser, "find", "/^pi-00[0-4]/")
    browser.until(f"{SHOWN} === '16 of 1000 nodes'")
    type_into(browser, "find", "")
    type_into(browser, "hit", "on")
    browser.until(f"{SHOWN} === '20 of 1000 nodes'")
    type_into(browser, "hit", "off")
    browser.until(f"{SHOWN} === '1000 of 1000 nodes'")

    names = "lanes.plot.axes[1]._values"
    assert "esp-0500" not in browser.js(names)
    browser.js("lanes.zoomTo([0, 60], [-510, -490]); null")
    browser.until(f"{names}.includes('esp-0500')")
    browser.js("document.getElementById('all').click()")
    browser.until(f"!{names}.includes('esp-0500')")


def test_the_pictures_further_down_are_drawn_when_scrolled_to(
    browser: Browser, bad_run: RunReport, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    page.write_text(html(bad_run), "utf-8")
    browser.open(page)
    for element, drawn in (
        ("latencies", "querySelectorAll('.uplot').length === 4"),
        ("order", "querySelectorAll('canvas').length === 1"),
        ("rates", "querySelectorAll('canvas').length === 1"),
        ("log", "querySelectorAll('tr').length > 10"),
    ):
        browser.js(f"document.getElementById({element!r}).scrollIntoView()")
        browser.until(f"document.getElementById({element!r}).{drawn}")
    inversions = next(r for r in bad_run.verdict.results if r.name == "priority_order").outcome.figures
    told = browser.js("document.getElementById('order-told').textContent")
    assert told == f"48 takes, {inversions['inversions']} out of order."
    type_into(browser, "log-find", "death_reported")
    browser.until("document.getElementById('log').querySelectorAll('tr').length === 3")
    assert browser.problems() == []
