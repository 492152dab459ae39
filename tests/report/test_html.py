"""The HTML report, opened in a real browser: self-contained, quick, true to the trace."""

from __future__ import annotations

import json
import re

import pytest

from sim import trace as t
from sim.report.html import MAX_WORK, html
from sim.report.run import judged

SHOWN = "document.getElementById('shown').textContent"


def data_of(page):
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)[1])


def type_into(browser, element, value):
    browser.js(
        f"const e = document.getElementById({element!r}), value = {value!r};"
        "e.value = value; e.checked = value === 'on';"
        "e.dispatchEvent(new Event('input', {bubbles: true})); null"
    )


def test_the_page_names_nothing_to_fetch(good_run):
    page = html(good_run)
    page = page[: page.index("plotly.js v")] + page[page.index('<script id="data"') :]
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page)
    assert good_run.replay in page


def test_names_and_texts_cannot_break_out_of_the_page(expectations):
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


def test_too_many_tasks_are_thinned_but_no_inversion_is_lost(fleet, monkeypatch):
    monkeypatch.setattr("sim.report.html.MAX_WORK", 50)
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


@pytest.mark.parametrize("nodes", [10, 1000])
def test_it_opens_quickly_and_shows_what_the_trace_says(browser, fleet, expectations, tmp_path, nodes):
    run = judged(expectations, fleet(nodes=nodes, faults=max(4, nodes // 20)))
    page = tmp_path / "report.html"
    page.write_text(html(run), "utf-8")
    # the first opening also starts the browser's software graphics, and the machine may be busy: any will do
    assert any(browser.open(page) < 3000 for _ in range(4))
    assert browser.problems() == []
    assert browser.requests() == []
    assert browser.js(SHOWN) == f"{nodes} of {nodes} nodes"

    traces = browser.js("document.getElementById('lanes').data.map(t => [t.name, t.x.length])")
    assert len(traces) < 40, "few traces with many points, however many nodes"
    drawn = dict(traces)
    seen = [e for e in run.events if isinstance(e, t.NodeStatusSeen)]
    assert drawn["ready"] == 3 * sum(e.status == "ready" for e in seen)
    assert drawn["dead"] == 3 * sum(e.status == "dead" for e in seen)
    assert drawn["death reported"] == run.totals.deaths

    browser.js("document.getElementById('lanes').scrollIntoView()")
    pixels = browser.colours(["#bfe3cd", "#f3b7b3", "#c62828"])
    assert pixels[0] > 20_000, "the lanes of ready nodes"
    assert pixels[1] > 100, "the dead"
    assert pixels[2] > 100, "the reports of deaths"


def test_filter_and_zoom_find_one_node_in_a_thousand(browser, fleet, expectations, tmp_path):
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

    ticks = "document.getElementById('lanes').layout.yaxis.ticktext"
    assert "esp-0500" not in browser.js(ticks)
    browser.js("Plotly.relayout('lanes', {'yaxis.range': [510, 490]}); null")
    browser.until(f"{ticks}.includes('esp-0500')")
    widths = browser.js("document.getElementById('lanes').data.filter(t => t.name === 'ready')[0].line.width")
    assert widths > 10, "lanes grow with the zoom"


def test_the_pictures_further_down_are_drawn_when_scrolled_to(browser, bad_run, tmp_path):
    page = tmp_path / "report.html"
    page.write_text(html(bad_run), "utf-8")
    browser.open(page)
    for element, drawn in (
        ("latencies", "querySelectorAll('.js-plotly-plot').length === 4"),
        ("order", "querySelectorAll('.main-svg').length > 0"),
        ("rates", "querySelectorAll('.main-svg').length > 0"),
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
