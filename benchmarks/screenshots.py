"""`python -m benchmarks.screenshots [NAME...]`: makes the pictures in the documents anew, in Chromium.

report-quickstart    the HTML report of the quickstart in real time (45 s)
report-1000-nodes    of the quickstart with a thousand nodes
page                 the page at a moment of it, and its dark and narrow looks: page-dark, page-narrow
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from dcompute_sim.page.page_server import Site, serving
from dcompute_sim.report.html import html
from dcompute_sim.report.run_report import RunReport, judged
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import find, load

from benchmarks.browser import Browser
from benchmarks.page import run_of

DOCS = Path(__file__).parent.parent / "docs"
NAMES = ("report-quickstart", "report-1000-nodes", "page")


def main() -> int:
    wanted = sys.argv[1:] or list(NAMES)
    if unknown := set(wanted) - set(NAMES):
        print(f"no picture {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        browser = Browser(Path(scratch) / "profile")
        try:
            for name in wanted:
                if name == "page":
                    _page(browser)
                else:
                    report = _report("virtual", 1000) if "1000" in name else _report("real", 300)
                    _picture_of(browser, report, Path(scratch) / "report.html", DOCS / f"{name}.png")
        finally:
            browser.close()
    return 0


def _report(time: str, nodes: int) -> RunReport:
    overrides = () if nodes == 300 else (f"vars.nodes={nodes}",)  # its own number
    scenario = load(find("quickstart"), overrides)
    outcome = run_scenario(scenario, RunOptions(reference="quickstart", time=time, overrides=overrides))
    return judged(scenario.expect, outcome.trace.events, description=scenario.description)


def _picture_of(browser: Browser, report: RunReport, page: Path, picture: Path) -> None:
    page.write_text(html(report), "utf-8")
    browser.look(1400, 1629)
    browser.open(page)
    browser.until("document.body.dataset.ready")
    browser.save_picture(picture)


def _page(browser: Browser) -> None:
    with serving(Site([run_of(1000)]), "127.0.0.1", 0) as server:
        for name, width, dark in (
            ("page", 1400, False),
            ("page-dark", 1400, True),
            ("page-narrow", 420, False),
        ):
            browser.look(width, 900, dark=dark)
            browser.open(server.address)
            browser.until("!page.busy()")
            fault = "const {faults, nodes} = page.runs[0].lanes.data, i = faults.what.indexOf('power_cut');"
            go = "page.go({us: faults.start[i] + 3e6, node: nodes[faults.lane[i]]})"
            browser.js(f"{fault} {go}; null")
            browser.until("!page.busy()")
            browser.save_picture(DOCS / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
