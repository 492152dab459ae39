"""`dcompute run --page` and `dcompute view`, as a user calls them: an address, a page, Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.commands import app
from typer.testing import CliRunner

from ..conftest import PATIENCE_S

SCENARIO = """\
version: 1
name: small
duration: 6s
fleet: {py: {count: 3, keepalive: 2s}}
faults: [{kind: crash, at: 2s}]
expect: [{dead_within: {bound: 2s}}]
"""


class Page:
    """A command that serves a page."""

    def __init__(self, folder: Path, *words: str) -> None:
        command = [sys.executable, "-m", "dcompute", *words]
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        self.address = self.line_with("http://").partition("Page: ")[2].strip()
        self._open = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def line_with(self, text: str) -> str:
        assert self.process.stdout is not None
        line = next((line for line in self.process.stdout if text in line), None)
        assert line is not None, f"it ended without saying {text!r}"
        return line

    def ask(self, path: str = "") -> Any:
        where = self.address if not path else self.address.partition("?")[0] + path
        with self._open.open(where, timeout=PATIENCE_S) as answer:
            return json.load(answer) if path else answer.read()

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode


def test_a_run_is_shown_while_it_goes_on_and_its_trace_afterwards(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SCENARIO)
    words = ("--time", "virtual", "--page", "--pace", "4x", "--trace", "small.jsonl", "--plain")
    page = Page(tmp_path, "run", "small.yaml", *words)
    assert page.address.startswith("http://127.0.0.1:")
    assert b"<title>dcompute" in page.ask()
    about = page.ask("about")
    assert (about["runs"][0]["name"], about["status"]["pace"]) == ("small.yaml", 4)
    assert not about["runs"][0]["over"], "six seconds at four times take one and a half"
    over = False
    while page.ask("state?t=1000000")["held"]["figures"]["sessions"] != 4:
        assert not over, "three nodes and the master"
        over = page.ask("about")["runs"][0]["over"]
    assert "held" in page.line_with("dead_within")
    page.line_with("The page stays")
    while not page.ask("about")["runs"][0]["over"]:
        pass
    assert page.ask("about")["runs"][0]["verdict"]["status"] == "held"
    assert page.interrupt() == 0, "the verdict's"

    page = Page(tmp_path, "view", "small.jsonl", "small.jsonl")
    page.ask()
    about = page.ask("about")
    assert [run["verdict"]["status"] for run in about["runs"]] == ["held", "held"]
    assert about["comparison"]["agree"]
    state = page.ask("state?t=2500000")
    assert sorted(state["nodes"]["link"]) == ["connected", "connected", "off"]
    while state["held"] is None:  # the run is made again to look into its broker
        state = page.ask("state?t=2500000")
    assert state["held"]["figures"]["sessions"] == 3, "two nodes and the master"
    assert state["held"]["statuses"] == {"ready": 2, "dead": 1}
    assert page.interrupt() == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "quickstart", "--pace", "10x"], "add --page"),
        (["run", "quickstart", "--page", "--seeds", "1..3"], "one run"),
        (["run", "quickstart", "--page", "--time", "real", "--pace", "2"], "a second takes a second"),
        (["run", "quickstart", "--time", "virtual", "--page", "--pace", "soon"], "no pace"),
        (["run", "quickstart", "--page", "--listen", "here"], "neither a port nor HOST:PORT"),
        (["view", __file__, __file__, __file__], "one trace or two"),
    ],
)
def test_what_makes_no_sense_is_said(words: list[str], told: str) -> None:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert told in " ".join(done.output.replace("│", " ").split())
