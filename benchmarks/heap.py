"""The lowest heap in which our firmware works without a MemoryError, by halving, in steps of a quarter KiB.

Each try is a board in virtual time: 1,500 tasks of 200 bytes, or an update over the air amid 300 of them.
None is remembered end to end, for with less heap a board does without that and works on (what it takes has
tests/firmware/test_heap.py). Figures hold for the width of the emulator's words.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec
from dcompute_sim.checks.check import Status
from dcompute_sim.fwbuild.compile import compile_firmware
from dcompute_sim.micropython.compiled import shim_sources
from dcompute_sim.micropython.provision import mpy_cross
from dcompute_sim.nodes.emulator import emulator
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import Scenario

from benchmarks.figures import Figure

LOWEST_KIB, HIGHEST_KIB, STEP_KIB = 16.0, 96.0, 0.25


def measure() -> list[Figure]:
    """All figures."""
    with tempfile.TemporaryDirectory() as scratch:
        compile_firmware(mpy_cross(), Path(scratch), built_in=shim_sources())
        compiled = {"files": scratch}
        plain = {"workload": [{"tasks": 1500, "rate": "20/s", "payload": "200B", "via": "transport"}]}
        update = {
            "workload": [{"tasks": 300, "rate": "20/s", "payload": "200B", "via": "transport"}],
            "updates": [{"at": "8s", "version": "v2", "select": {"group": "esp"}}],
            "expect": ["updated"],
        }
        slots = {"layout": "slots"}
        width = f"{emulator().word_bits} bit"
        return [
            Figure(f"tasks, source ({width})", _lowest_kib({}, plain), "KiB"),
            Figure("tasks, compiled", _lowest_kib(compiled, plain), "KiB"),
            Figure("tasks, source in a slot", _lowest_kib(slots, plain), "KiB"),
            Figure("update, source", _lowest_kib(slots, update), "KiB"),
            Figure("update, compiled", _lowest_kib(slots | compiled, update), "KiB"),
        ]


def _lowest_kib(group: dict[str, Any], changes: dict[str, Any]) -> float:
    below, enough = LOWEST_KIB, HIGHEST_KIB
    while enough - below > STEP_KIB:
        middle = (below + enough) / 2
        if _works(group | {"heap": f"{round(middle * 1024)}B"}, changes):
            enough = middle
        else:
            below = middle
    return enough if enough < HIGHEST_KIB else float("inf")


def _works(group: dict[str, Any], changes: dict[str, Any]) -> bool:
    scenario = Scenario.model_validate(
        {
            "version": 1,
            "name": "heap",
            "time": "virtual",
            "duration": "100s",
            "fleet": {"esp": {"kind": "firmware", "keepalive": "20s", "poll": "100ms"} | group},
            "expect": ["all_tasks_finished"],  # not amid an update: a bare task may fall to its restart
        }
        | changes
    )
    outcome = run_scenario(scenario, RunOptions())
    said = b"".join(msgspec.json.encode(event) for event in outcome.trace)
    return outcome.verdict.status is Status.HELD and b"MemoryError" not in said
