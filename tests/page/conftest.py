"""Pages in the browser, and the checker that looks at them as a screen reader has to."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from dcompute_sim.brokers.model.broker_history import BrokerHistory, HeldSession
from dcompute_sim.checks import CHECKS
from dcompute_sim.page.page_server import PageServer, Site, serving
from dcompute_sim.page.shown_run import Facts, ShownRun
from dcompute_sim.report.run_report import RunReport, judged

from benchmarks.browser import Browser

from ..report.conftest import Fleet

SERIOUS = ("serious", "critical")


HISTORY = BrokerHistory()
HISTORY.note((1, 0), {f"esp-{n:04}": HeldSession(True, True, 0, 0, 0, 2) for n in range(1, 1001)}, {}, {})
HISTORY.note(
    (1, 1), {"esp-0007": HeldSession(False, False, 1, 2, 0, 2)}, {"esp-0007/status": b"gone"}, {"esp-0008": 3}
)


def shown(report: RunReport) -> ShownRun:
    """A run that is over, of whose broker it is known what it held."""
    facts = Facts(report.name, report.description, report.started)
    return ShownRun(facts, report.events, report, lambda: HISTORY)


@pytest.fixture(scope="session")
def thousand() -> RunReport:
    """A thousand nodes, of which some die; everything that is expected held."""
    expected = [CHECKS[name]() for name in ("no_false_deaths", "priority_order", "all_tasks_finished")]
    return judged(expected, list(Fleet(nodes=1000, seed=7, faults=20, tasks_per_node=4)))


@pytest.fixture(scope="session")
def server(thousand: RunReport) -> Iterator[PageServer]:
    with serving(Site([shown(thousand)]), "127.0.0.1", 0) as server:
        yield server


def complaints(browser: Browser) -> list[str]:
    """What axe finds serious in the page that is open."""
    axe = (files("axe_core_python") / "axe.min.js").read_text("utf-8")
    browser.js(f"if (!window.axe) {{ {axe} }}; null")
    found: list[dict[str, Any]] = browser.js(
        "(async () => (await axe.run()).violations.map(v => ({id: v.id, impact: v.impact,"
        " nodes: v.nodes.map(n => n.html.slice(0, 160) + ' ' + n.failureSummary)})))()"
    )
    return [json.dumps(it) for it in found if it["impact"] in SERIOUS]


def settled(browser: Browser, seconds: float = 20) -> dict[str, Any]:
    """The state that is shown, once nothing newer is on its way."""
    deadline = time.monotonic() + seconds
    while browser.js("page.busy()"):
        assert time.monotonic() < deadline, "it never came to rest"
        time.sleep(0.02)
    state: dict[str, Any] = browser.js("page.runs[0].panel.state")
    return state
