"""What CONTRIBUTING.md adds in ten lines works: a fault, a check, a trace event, a shim, a mutant."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from dcompute_sim.micropython.compiled import SHIMS
from dcompute_sim.micropython.provision import Emulator

from .conftest import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n# sim/dcompute_sim/(\w+)/(?:\w+/)?(\w+)\.py\n(.*?)```", TEXT, re.S)
SNIPPETS = {folder: (name, code) for folder, name, code in BLOCKS}

IMPORTS = """
from collections.abc import Sequence
from typing import ClassVar, Literal
from dcompute.node_transport import ComputeNodeTransport
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive
from dcompute_sim.faults.effects import CLOSED_BY_BROKER, WITHHELD
from dcompute_sim.faults.fault import For, NodeFault, Seen, Steps
from dcompute_sim.faults.injection import Injection
from dcompute_sim.mutants.catalogue import register
from dcompute_sim.trace import Event, MasterConnected
from dcompute_sim.yamlfile.units import Duration
from pydantic import Field
"""
"""What an editor adds."""

RUN = """
from dcompute_sim import Scenario, RunOptions, run_scenario
scenario = {"version": 1, "name": "s", "duration": "60s", "fleet": {"py": {"count": 2, "keepalive": "5s"}}}
"""


def run(*code: str) -> str:
    """In a process of its own, so that nobody else meets what it registers."""
    program = "\n".join((IMPORTS, *code))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_one_is_there_and_is_no_longer_than_said() -> None:
    assert set(SNIPPETS) == {"faults", "checks", "trace", "micropython", "mutants"}
    for folder, (_, code) in SNIPPETS.items():
        assert len(code.strip().splitlines()) <= 12, folder


def test_the_fault() -> None:
    _, code = SNIPPETS["faults"]
    told = run(
        code,
        RUN,
        "scenario['faults'] = [{'kind': 'sulk', 'at': '10s', 'for': '20s'}]",
        "scenario['expect'] = ['dead_within', 'no_false_deaths']",
        "print(run_scenario(Scenario.model_validate(scenario)).verdict.status)",
    )
    assert told.strip() == "held"


def test_the_check() -> None:
    _, code = SNIPPETS["checks"]
    told = run(
        code,
        RUN,
        "for within in ('1s', '1us'):",
        "    scenario['expect'] = [{'quick_master': {'within': within}}]",
        "    print(run_scenario(Scenario.model_validate(scenario)).verdict.results[0].outcome.status)",
    )
    assert told.split() == ["held", "failed"]


def test_the_trace_event() -> None:
    _, code = SNIPPETS["trace"]
    told = run(code, "print(NodeSleeps(t_us=1, node='n', for_us=10), NodeSleeps.__struct_config__.tag)")
    assert told.strip() == "NodeSleeps(node='n', for_us=10, t_us=1) node_sleeps"


def test_the_mutant() -> None:
    _, code = SNIPPETS["mutants"]
    told = run(
        code,
        RUN,
        "scenario['workload'] = [{'at': '5s', 'tasks': 3}]",
        "scenario['expect'] = ['all_tasks_finished']",
        "for mutants in ((), ('deaf',)):",
        "    options = RunOptions(mutants=mutants)",
        "    print(run_scenario(Scenario.model_validate(scenario), options).verdict.status)",
    )
    assert told.split() == ["held", "failed"]


@pytest.mark.parametrize(
    "program", ["import espnow; print(espnow.MAX_DATA_LEN)", "import espnow; espnow.ESPNow"]
)
def test_the_shim(emulator: Emulator, tmp_path: Path, program: str) -> None:
    name, code = SNIPPETS["micropython"]
    (tmp_path / f"{name}.py").write_text(code)
    done = subprocess.run(
        [*emulator.argv, "-c", program],
        env={"MICROPYPATH": f"{tmp_path}:{SHIMS / 'real'}:{SHIMS}:.frozen"},
        capture_output=True,
        text=True,
    )
    if "print" in program:
        assert (done.stdout, done.returncode) == ("250\n", 0), done.stderr
    else:
        assert "AttributeError" in done.stderr
        assert "espnow" in done.stderr
