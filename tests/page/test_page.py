"""The page in a browser: quick, led by keys, true to the trace, and usable by everyone."""

from __future__ import annotations

import time

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import CHECKS
from dcompute_sim.page.compared import compared
from dcompute_sim.page.page_server import PageServer, Site, serving
from dcompute_sim.report.comparison import Side, Sides
from dcompute_sim.report.html import html
from dcompute_sim.report.run_report import RunReport, judged

from benchmarks.browser import Browser

from ..report.conftest import Fleet
from .conftest import complaints, settled, shown


@pytest.fixture
def opened(browser: Browser, server: PageServer) -> Browser:
    """The page of a thousand nodes, at its beginning."""
    browser.look(1400, 900)
    browser.open(server.address)
    settled(browser)
    return browser


def test_the_first_picture_and_each_step_come_at_once(opened: Browser, server: PageServer) -> None:
    """Wide bounds, for a busy machine; the figures are printed by `python -m benchmarks page`."""
    assert any(opened.open(server.address) < 3000 for _ in range(4))
    settled(opened)
    steps = []
    for number in range(30):
        opened.press("ArrowRight", shift=number % 3 == 0)
        settled(opened)
        steps.append(float(opened.js("document.body.dataset.step")))
    assert sorted(steps)[len(steps) // 3] < 150, steps
    assert opened.problems() == []
    assert opened.js("location.search") == "", "the secret stands no longer in the address"
    wanted = [url for url in opened.requests() if not url.startswith(f"http://127.0.0.1:{server.port}/")]
    assert wanted == [], "it needs no network"


def test_keys_lead_from_fault_to_fault_and_from_event_to_event(opened: Browser, thousand: RunReport) -> None:
    events = thousand.events
    faults = [at for at, e in enumerate(events) if isinstance(e, t.FaultInjected | t.FaultEnded)]
    for wanted in faults[:3]:
        opened.press("ArrowRight", shift=True)
        assert settled(opened)["position"] == wanted
    opened.press("ArrowLeft", shift=True)
    assert settled(opened)["position"] == faults[1]
    opened.press("ArrowRight")
    assert settled(opened)["position"] == faults[1] + 1
    opened.press("End")
    state = settled(opened)
    assert (state["position"], state["t"]) == (len(events) - 1, events[-1].t_us)
    opened.press("Home")
    assert settled(opened)["t"] == 0
    deaths = [at for at, e in enumerate(events) if isinstance(e, t.DeathReported)]
    opened.press("d")
    opened.press("d")
    assert settled(opened)["position"] == deaths[1]
    opened.press("D", shift=True)
    assert settled(opened)["position"] == deaths[0]
    opened.press("Home")
    assert settled(opened)["t"] == 0


def test_the_text_says_who_was_what_and_links_lead_on(opened: Browser, thousand: RunReport) -> None:
    crash = next(e for e in thousand.events if isinstance(e, t.FaultInjected) and e.kind == "crash")
    opened.js(f"page.go({{us: {crash.t_us + 1_000_000}, node: {crash.node!r}}}); null")
    state = settled(opened)
    lane = opened.js(f"page.runs[0].lanes.data.nodes.indexOf({crash.node!r})")
    assert state["nodes"]["link"][lane] == "off"
    assert state["nodes"]["believed"][lane] == "dead"
    assert state["nodes"]["faults"][lane] == "crash"
    assert ["fault", f"crash ({crash.fault})"] in state["node"]
    text = opened.js("document.getElementById('panels').innerText")
    assert crash.fault in text
    own = {event["node"] for event in state["log"]}
    assert own == {crash.node}, "the events of the chosen node only"

    row = opened.js("document.querySelector('#moments .nodes tr.now').textContent")
    assert row.startswith(f"{crash.node}deadoffcrash"), "its row is in sight"

    opened.press("ArrowLeft")
    assert settled(opened)["log"][0]["node"] == crash.node
    opened.js("document.querySelector('#moments .events tbody tr button').click()")
    assert settled(opened)["position"] == state["log"][0]["position"]

    opened.press("Escape")
    assert len({event["node"] for event in settled(opened)["log"]}) > 1


def test_what_is_under_way_is_listed(opened: Browser, thousand: RunReport) -> None:
    sent = next(e for e in thousand.events if isinstance(e, t.TaskSent))
    at = thousand.events.index(sent)
    opened.js(
        f"page.go({{position: {at}}}); document.querySelector('.under-way').closest('details').open = true;"
    )
    state = settled(opened)
    assert [f"task {sent.task}", sent.node, sent.t_us] in state["under_way"]
    opened.until(f"document.querySelector('.under-way').innerText.includes({sent.task!r})")


def test_what_the_broker_holds_is_told(opened: Browser) -> None:
    box = "document.querySelector('#moments .broker')"
    opened.js(f"page.go({{us: 2, node: 'esp-0007'}}); {box}.closest('details').open = true; null")
    settled(opened)
    told = opened.js(f"{box}.closest('details').querySelector('h2').textContent")
    assert told == "Broker: 1,000 sessions, 1 of absent clients, 1 in flight, 2 queued, 3 dropped, 1 retained"
    rows = opened.js(
        f"[...{box}.querySelectorAll('tbody tr')].map(row => [...row.cells].map(c => c.innerText))"
    )
    assert rows[:2] == [
        ["esp-0007", "kept, client absent", "1", "2", "", "2"],
        ["esp-0008", "clean", "", "", "3", "2"],
    ]
    assert rows[-2:] == [["and 800 more"], ["esp-0007/status", "gone"]]
    own = opened.js("document.querySelector('#moments .node').innerText")
    assert "kept, client absent; 1 in flight, 2 queued" in own


def test_search_finds_ids_kinds_and_text(opened: Browser, thousand: RunReport) -> None:
    node = next(e.node for e in thousand.events if isinstance(e, t.DeathReported))
    opened.press("/")
    assert opened.js("document.activeElement.id") == "search-text"
    opened.js(
        f"const box = document.getElementById('search-text'); box.value = {node.upper()!r};"
        "box.dispatchEvent(new Event('input')); null"
    )
    of = sum(getattr(e, "node", "") == node for e in thousand.events)
    opened.until("document.getElementById('search-count').textContent")
    count = opened.js("document.getElementById('search-count').textContent")
    assert int(count.split()[0]) >= of > 10
    opened.js("document.querySelector('#search-found tbody tr:last-child button').click()")
    settled(opened)
    assert node in opened.js("document.querySelector('#moments .events tr.now').textContent")


def test_lanes_are_chosen_by_key_and_by_click(opened: Browser) -> None:
    opened.js("document.querySelector('.run .plot').focus()")
    opened.press("ArrowDown")
    opened.press("ArrowDown")
    settled(opened)
    names = opened.js("page.runs[0].lanes.data.nodes.slice(0, 3)")
    assert opened.js("page.runs[0].panel.chosen") == names[1]
    opened.js("page.runs[0].lanes.zoomTo([0, 60], [-10.5, 0.5]); null")
    x, y = opened.js(
        "const {plot} = page.runs[0].lanes, r = plot.over.getBoundingClientRect();"
        "[r.left + plot.valToPos(30, 'x'), r.top + plot.valToPos(-2, 'y')]"
    )
    opened.click(x, y)
    settled(opened)
    assert opened.js("page.runs[0].panel.chosen") == names[2]
    shown_s = float(opened.js("document.getElementById('now').textContent").removesuffix(" s"))
    assert abs(shown_s - 30) < 0.5


def test_it_plays_and_pauses(opened: Browser) -> None:
    opened.js("document.getElementById('speed').value = '60'; null")
    opened.press(" ")
    opened.until("page.runs[0].panel.state.t > 2e6")
    opened.press(" ")
    at = settled(opened)["t"]
    time.sleep(0.1)
    assert settled(opened)["t"] == at
    assert opened.js("document.getElementById('play').textContent").endswith("play")


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (420, True)])
def test_axe_finds_nothing_serious(opened: Browser, width: int, dark: bool) -> None:
    opened.look(width, 900, dark=dark)
    opened.press("ArrowRight", shift=True)
    settled(opened)
    opened.js("document.querySelectorAll('details').forEach(d => { d.open = true; }); null")
    assert complaints(opened) == []
    assert opened.js("document.documentElement.scrollWidth") <= width, "nothing sticks out at the side"


def test_nothing_is_red_on_a_run_that_held(opened: Browser, thousand: RunReport) -> None:
    assert thousand.verdict.status == "held"
    assert opened.colours(["#c62828", "#bfe3cd"])[0] == 0
    assert opened.colours(["#bfe3cd"])[0] > 20_000


def test_the_report_has_nothing_serious_either(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = [CHECKS["dead_within"].model_validate({"bound": "2s"}), CHECKS["priority_order"]()]
    page = tmp_path_factory.mktemp("report") / "report.html"
    page.write_text(
        html(judged(expected, list(Fleet(nodes=12, seed=2, faults=4, tasks_per_node=3)))), "utf-8"
    )
    for width, dark in ((1400, False), (420, True)):
        browser.look(width, 900, dark=dark)
        browser.open(page)
        for part in ("latencies", "order", "rates", "log"):
            browser.js(f"document.getElementById({part!r})?.scrollIntoView(); null")
        assert complaints(browser) == []
        assert browser.js("document.documentElement.scrollWidth") <= width
    browser.look(1400, 900)


def test_two_runs_stand_side_by_side_at_one_moment(browser: Browser) -> None:
    expected = [CHECKS["dead_within"].model_validate({"bound": "2s"}), CHECKS["no_false_deaths"]()]
    good = list(Fleet(nodes=8, seed=1, faults=4, tasks_per_node=2))
    lost = next(e for e in good if isinstance(e, t.DeathReported))
    reports = [judged(expected, good), judged(expected, [e for e in good if e is not lost])]
    sides = [Side(name, it.verdict, it.events) for name, it in zip(("one", "other"), reports, strict=True)]
    browser.look(1400, 900)
    with serving(Site([shown(it) for it in reports], compared(Sides(*sides))), "127.0.0.1", 0) as server:
        browser.open(server.address)
        settled(browser)
        browser.js(f"page.go({{us: {lost.t_us + 1}, node: {lost.node!r}}}); null")
        settled(browser)
        one, other = browser.js("page.runs.map(run => run.panel.state)")
        assert abs(one["t"] - other["t"]) < 1_000_000
        assert one["of"] == other["of"] + 1
        assert browser.js("page.runs.map(run => run.panel.chosen)") == [lost.node, lost.node]
        told = browser.js("document.getElementById('comparison').innerText")
        assert "The verdicts differ." in told
        assert "dead_within" in told
        reasons = browser.js("[...document.querySelectorAll('.why')].map(why => why.innerText)")
        assert any(reason.startswith(lost.node) for reason in reasons), "a name stays as it is"
        assert complaints(browser) == []
        assert browser.problems() == []
        browser.call("Emulation.setEmulatedMedia", media="print")
        cut = "[...document.querySelectorAll('.scroll')].filter(box => box.scrollHeight > box.clientHeight)"
        assert browser.js(f"{cut}.map(box => box.ariaLabel)") == [], "on paper nobody can scroll"
        browser.call("Emulation.setEmulatedMedia", media="")
        assert browser.problems() == []
