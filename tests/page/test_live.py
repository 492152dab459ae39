"""A run is shown while it goes on: what happens comes to the page, and what the page does happens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim import Scenario, run_scenario
from dcompute_sim import trace as t
from dcompute_sim.checks.verdict import judge
from dcompute_sim.director import Director
from dcompute_sim.faults import KINDS
from dcompute_sim.page.by_hand import kinds
from dcompute_sim.page.live_page import LivePage, pace_of
from dcompute_sim.page.pace import Pacer
from dcompute_sim.page.page_server import serving
from dcompute_sim.page.shown_run import Facts
from dcompute_sim.report.run_report import judged
from dcompute_sim.run import CallSoon, RunOptions, RunOutcome, planned
from dcompute_sim.scenario import load

from benchmarks.browser import Browser

from ..conftest import PATIENCE_S
from .conftest import complaints, settled

KEYS: dict[str, Any] = {
    "version": 1,
    "name": "by_hand",
    "time": "real",
    "broker": "model",
    "phases": {"storm": "200s", "quiet": "4s"},
    "fleet": {"py": {"count": 6, "keepalive": "2s", "work": "50ms"}},
    "workload": [{"tasks": 60, "rate": "6/s", "at": "1s"}],
    "faults": [{"kind": "reset", "at": "500ms", "select": {"names": ["py-6"]}}],
    "expect": ["no_false_deaths"],
}
DO = (
    "(async () => (await (await fetch('do/NAME', {method: 'POST', headers: {'Content-Type':"
    " 'application/json'}, body: JSON.stringify(WHAT)})).json()))()"
)


def do(browser: Browser, name: str, **what: Any) -> dict[str, Any]:
    answer: dict[str, Any] = browser.js(DO.replace("NAME", name).replace("WHAT", json.dumps(what)))
    return answer


def strike(browser: Browser, kind: str, node: str, **fields: str) -> str:
    """As a user does: choose the node, the kind, fill in, press; returns the fault's name."""
    browser.js(
        f"page.go({{node: {node!r}}}); const form = document.querySelector('#hands-body form'),"
        f" kind = form.querySelector('select'); kind.value = {kind!r};"
        "kind.dispatchEvent(new Event('change'));"
        f"for (const [name, value] of Object.entries({json.dumps(fields)}))"
        " form.elements[name].value = value;"
        "document.body.dataset.struck = ''; form.querySelector('button').click(); null"
    )
    browser.until("document.body.dataset.struck")
    return str(browser.js("document.body.dataset.struck"))


def undo(browser: Browser, fault: str) -> None:
    button = f"!!document.querySelector('[aria-label=\"undo {fault}\"]')"
    browser.until(button)
    browser.js(f"{button[2:]}.click(); null")
    browser.until(f"!{button}")


def test_faults_by_click_act_are_undone_and_can_be_saved(browser: Browser, tmp_path: Path) -> None:
    scenario = Scenario.model_validate(KEYS)
    started = planned(scenario, RunOptions())
    live = LivePage(Facts("by_hand", "", started), scenario.length_s)
    end: list[Callable[[], object]] = []  # the run, long before its time

    def attend(director: Director, call_soon: CallSoon) -> None:
        live.attend(director, call_soon)
        end.append(lambda: call_soon(lambda: [task.cancel() for task in asyncio.all_tasks()]))

    def run() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            run_scenario(scenario, RunOptions(listeners=(live.events.append,), attend=attend))
        live.over(judged(scenario.expect, live.events))

    thread = threading.Thread(target=run)
    browser.look(1400, 900)
    with serving(live.site, "127.0.0.1", 0, live.turn) as server, contextlib.ExitStack() as at_the_end:
        thread.start()
        at_the_end.callback(thread.join, 60)
        at_the_end.callback(lambda: thread.is_alive() and end[0]())
        browser.open(server.address)
        browser.until("!!document.querySelector('#hands-body form')")
        browser.until("page.runs[0].lanes.data.statuses.what.filter(what => what === 'ready').length >= 6")
        assert "no kind" in do(browser, "strike", kind="flood", node="py-1")["error"]
        assert "for" in do(browser, "strike", kind="wifi_drop", node="py-1", keys={"for": "soon"})["error"]
        assert "py-9" in do(browser, "strike", kind="crash", node="py-9")["error"]
        assert "choose a node" in do(browser, "strike", kind="crash")["error"]
        assert "error" in do(browser, "undo", fault="crash-1")

        struck = {
            "py-1": strike(browser, "crash", "py-1"),
            "py-2": strike(browser, "wifi_drop", "py-2"),
            "py-3": strike(browser, "hang", "py-3"),
            "py-4": strike(browser, "slow_link", "py-4", latency="300ms"),
            "py-5": strike(browser, "power_cut", "py-5", restart_after="1s"),
        }
        struck[""] = strike(browser, "broker_stop", "py-6")
        browser.until("page.runs[0].panel.state.broker.up === false")
        for node in ("", "py-4", "py-3", "py-2", "py-1"):
            undo(browser, struck[node])
        name, text = (answer := do(browser, "save"))["name"], answer["text"]
        assert browser.js("document.getElementById('live').getAttribute('aria-pressed')") == "true"
        browser.until(f"document.querySelector('#hands-body ul').innerText.match(/{struck['py-5']} .*until/)")
        end[0]()
        thread.join(PATIENCE_S)
        browser.until("document.getElementById('pill').textContent !== 'running'")
        settled(browser)
        assert browser.problems() == []
        assert complaints(browser) == []

    events = live.events
    injected = {e.fault: e for e in events if isinstance(e, t.FaultInjected)}
    ended = {e.fault: e for e in events if isinstance(e, t.FaultEnded)}
    for node, fault in struck.items():
        assert injected[fault].node == node
        assert injected[fault].entry.startswith("by-hand-")
        assert fault in ended, "it is over, and the trace says so"
    crash = struck["py-1"]
    assert any(isinstance(e, t.FaultEffect) and e.fault == crash for e in events), "a receipt"
    boots = [e.boot for e in events if isinstance(e, t.NodeStarted) and e.node == "py-1"]
    assert boots == [1, 2], "undone: it was started again"
    results = {it.name: it.outcome.status for it in judge(scenario.expect, events).results}
    assert results["no_false_deaths"] == "held", "the checks know why nodes died"

    saved = tmp_path / name
    saved.write_text(text, "utf-8")
    again = load(saved)
    assert [fault.id for fault in again.faults if fault.id and fault.id.startswith("by-hand")] == [
        f"by-hand-{number}" for number in range(1, 7)
    ]
    repeated = run_scenario(again, RunOptions(time="virtual")).trace.events
    wanted = sorted((e.kind, e.node, e.t_us) for e in injected.values())
    assert sorted((e.kind, e.node, e.t_us) for e in repeated if isinstance(e, t.FaultInjected)) == wanted
    lasted = {f: ended[f].t_us - injected[f].t_us for f in struck.values()}
    began = {e.fault: e for e in repeated if isinstance(e, t.FaultInjected)}
    for e in repeated:
        if isinstance(e, t.FaultEnded) and began[e.fault].node == "py-2":
            assert abs(e.t_us - began[e.fault].t_us - lasted[struck["py-2"]]) < 1000


def test_a_virtual_run_keeps_the_pace_it_is_given() -> None:
    keys = {**KEYS, "time": "virtual", "phases": {"storm": "3s", "quiet": "3s"}}
    scenario = Scenario.model_validate(keys)
    plain = run_scenario(scenario)
    pacer, heard = Pacer(0), list[t.Event]()
    outcomes: list[RunOutcome] = []
    options = RunOptions(listeners=(pacer.on_event, heard.append))
    thread = threading.Thread(target=lambda: outcomes.append(run_scenario(scenario, options)))
    thread.start()
    deadline = time.monotonic() + PATIENCE_S
    while not heard and time.monotonic() < deadline:
        time.sleep(0.01)
    assert heard[-1].t_us == 0, "what comes at once is there, and time stands still"
    pacer.set(20.0)
    began_s = time.monotonic()
    while heard[-1].t_us < 2_000_000 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert time.monotonic() - began_s >= 0.09, "two seconds at twenty times take a tenth"
    pacer.set(math.inf)
    thread.join(PATIENCE_S)
    assert outcomes[0].trace.digest() == plain.trace.digest(), "it is only waited for"


def test_paces() -> None:
    assert [pace_of(text) for text in ("10x", "0.5", "0", " 2X ", "inf")] == [10, 0.5, 0, 2, math.inf]
    for wrong in ("", "fast", "-1", "nan"):
        with pytest.raises(ValueError, match="no pace"):
            pace_of(wrong)


def test_every_kind_of_fault_can_be_chosen() -> None:
    offered = {kind["kind"]: kind for kind in kinds()}
    assert set(offered) == set(KINDS)
    fields = {field["name"]: field for field in offered["wifi_drop"]["fields"]}
    assert set(fields) == {"for", "kick"}
    assert fields["kick"]["choices"] == ["false", "true"]
    memory = next(field for field in offered["broker_restart"]["fields"] if field["name"] == "memory")
    assert memory["choices"] == ["keep", "lose"]
