"""The page in Chromium: the first picture, and what a step, a jump, a zoom and a search take."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from dcompute_sim.page.page_server import PageServer, Site, serving
from dcompute_sim.page.shown_run import Facts, ShownRun
from dcompute_sim.report.run_report import judged
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import find, load

from benchmarks.browser import Browser
from benchmarks.figures import Figure

FLEETS = (10, 1_000, 5_000)
FIRST_PICTURE_MS, STEP_MS = 1_000.0, 50.0  # at a thousand nodes
TRIES = 21


def run_of(nodes: int) -> ShownRun:
    """The quickstart with so many nodes, in virtual time, as `dcompute view` shows it."""
    overrides = (f"vars.nodes={nodes}",)
    scenario = load(find("quickstart"), overrides)
    options = RunOptions(reference="quickstart", time="virtual", overrides=overrides)
    outcome = run_scenario(scenario, options)
    report = judged(scenario.expect, outcome.trace.events, description=scenario.description)
    return ShownRun(Facts(report.name, report.description, report.started), report.events, report)


def measure() -> list[Figure]:
    figures = []
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(Path(profile))
        try:
            for nodes in FLEETS:
                with serving(Site([run_of(nodes)]), "127.0.0.1", 0) as server:
                    figures += _of_page(browser, server, nodes)
        finally:
            browser.close()
    return figures


def _of_page(browser: Browser, server: PageServer, nodes: int) -> list[Figure]:
    browser.look(1400, 900)
    first = [browser.open(server.address) for _ in range(5)]
    browser.until("!page.busy()")
    promised = nodes == 1_000

    def figure(what: str, found: list[float], target: float) -> Figure:
        told = f"{nodes:,} nodes: {what}, median"
        return Figure(told, statistics.median(found), "ms", "at_most", target if promised else None)

    def taken(call: str) -> list[float]:
        found = []
        for number in range(TRIES):
            browser.js(f"const number = {number}; {call}; null")
            browser.until("!page.busy()")
            found.append(float(browser.js("document.body.dataset.step")))
        return found

    zooms = []
    for factor in (0.7, 1.4) * 5:
        began = f"const began = performance.now(), {{lanes}} = page.runs[0]; lanes.zoom({factor});"
        ended = "await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));"
        zooms.append(
            float(browser.js(f"(async () => {{ {began} {ended} return performance.now() - began; }})()"))
        )
    began_s = time.perf_counter()
    browser.js("(async () => { await (await fetch('found?run=0&text=py-7')).json(); })()")
    searched = [(time.perf_counter() - began_s) * 1e3]
    events = int(browser.js("page.runs[0].panel.state.of"))
    return [
        Figure(f"{nodes:,} nodes: events of the trace", events, ""),
        figure("first picture", first, FIRST_PICTURE_MS),
        figure("step to the next event", taken("page.step(1, 'event')"), STEP_MS),
        figure("step to the next fault", taken("page.step(1, 'fault')"), STEP_MS),
        Figure(
            f"{nodes:,} nodes: jump anywhere, median",
            statistics.median(taken(f"page.show({{at: (number * 7919) % {events}}})")),
            "ms",
        ),
        Figure(f"{nodes:,} nodes: zoom until drawn, median", statistics.median(zooms), "ms"),
        Figure(f"{nodes:,} nodes: search of the whole trace", searched[0], "ms"),
    ]
