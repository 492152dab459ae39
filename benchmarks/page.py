"""The page in Chromium: the first picture, and what a step, a jump, a zoom and a search take.

Of saved traces with 10, 1,000 and 5,000 nodes; and of a run with 1,000 nodes while it goes on in real time,
as `dcompute run --page` shows it, with a fault by click that has to be in the trace.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dcompute_sim import trace as t
from dcompute_sim.brokers.model.broker_history import BrokerHistory
from dcompute_sim.page.page_server import PageServer, Site, serving
from dcompute_sim.page.shown_run import Facts, ShownRun
from dcompute_sim.report.run_report import judged
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import find, load

from benchmarks.browser import Browser
from benchmarks.figures import Figure

FLEETS = (10, 1_000, 5_000)
PARTS = os.environ.get("PAGE_PARTS", "saved,live").split(",")
FIRST_PICTURE_MS, STEP_MS = 1_000.0, 50.0  # at a thousand nodes
TRIES = 21
LIVE = """
version: 1
name: live
time: real
phases: {storm: 120s, quiet: 15s}
fleet: {py: {count: 1000, keepalive: 5s, ramp: 5s, work: 50ms}}
workload: [{tasks: 1000, rate: 20/s, at: 8s}]
expect: [no_false_deaths]
"""


def run_of(nodes: int) -> ShownRun:
    """The quickstart with so many nodes, in virtual time, as `dcompute view` shows it."""
    overrides = (f"vars.nodes={nodes}",)
    scenario = load(find("quickstart"), overrides)
    history = BrokerHistory()
    options = RunOptions(reference="quickstart", time="virtual", overrides=overrides, broker_history=history)
    outcome = run_scenario(scenario, options)
    report = judged(scenario.expect, outcome.trace.events, description=scenario.description)
    facts = Facts(report.name, report.description, report.started)
    return ShownRun(facts, report.events, report, lambda: history)


def measure() -> list[Figure]:
    figures = []
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(Path(profile))
        try:
            for nodes in FLEETS if "saved" in PARTS else ():
                with serving(Site([run_of(nodes)]), "127.0.0.1", 0) as server:
                    figures += _of_page(browser, server, nodes)
            if "live" in PARTS:
                figures += _live(browser, Path(profile))
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


def _live(browser: Browser, folder: Path) -> list[Figure]:
    """A run that goes on, in a process of its own; bounds are those of a saved trace with as many nodes."""
    (folder / "live.yaml").write_text(LIVE)
    trace = folder / "live.jsonl"
    command = ["run", str(folder / "live.yaml"), "--page", "--plain", "--trace", str(trace)]
    run = subprocess.Popen(
        [sys.executable, "-u", "-c", "from dcompute_sim.commands import app; app()", *command],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    assert run.stdout is not None
    try:
        line = next(line for line in run.stdout if line.startswith("Page: "))
        address = line.removeprefix("Page: ").strip()
        browser.look(1400, 900)
        browser.open(address)
        statuses = "page.runs[0].lanes.data.statuses.what"
        browser.until(f"{statuses}.filter(what => what === 'ready').length >= 1000", 100)
        first = [browser.open(f"http://127.0.0.1:{address.split(':')[2].split('/')[0]}/") for _ in range(5)]
        browser.until("!!document.querySelector('#hands-body form')")
        steps = []
        for _ in range(TRIES):
            browser.js("page.step(-1, 'event'); null")
            browser.until("!page.busy()")
            steps.append(float(browser.js("document.body.dataset.step")))
        browser.js(
            "page.go({node: 'py-7'}); const form = document.querySelector('#hands-body form'),"
            " kind = form.querySelector('select'); kind.value = 'crash';"
            "kind.dispatchEvent(new Event('change')); document.body.dataset.struck = '';"
            "form.querySelector('button').click(); null"
        )
        browser.until("document.body.dataset.struck")
        fault = str(browser.js("document.body.dataset.struck"))
        for line in run.stdout:
            if line.startswith("The page stays"):
                break
    finally:
        run.send_signal(signal.SIGINT)
        run.wait(60)
    events = t.read(trace).events
    died = any(isinstance(it, t.DeathReported) and it.node == "py-7" for it in events)
    acted = any(isinstance(it, t.FaultEffect) and it.fault == fault for it in events)
    return [
        Figure("1,000 nodes, live: first picture, median", statistics.median(first), "ms", "at_most", 1e3),
        Figure("1,000 nodes, live: step, median", statistics.median(steps), "ms", "at_most", STEP_MS),
        Figure("faults by click that acted, by the trace", int(acted and died), "", "at_least", 1),
    ]
