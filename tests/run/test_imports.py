"""What a run in virtual time brings into its process: a third of a big fleet's memory is modules."""

from __future__ import annotations

import subprocess
import sys

NEEDLESS = {
    "amqtt",
    "asyncio",
    "concurrent.futures",
    "multiprocessing",
    "platformdirs",
    "dcompute._ota",
    "dcompute.bundle",
    "dcompute.extras",
    "rich",
    "ruamel.yaml",
    "dcompute_sim.checks.latency",
    "dcompute_sim.engines.real",
    "dcompute_sim.engines.virtual_tls",
    "dcompute_sim.faults.clone",
    "dcompute_sim.micropython",
    "dcompute_sim.mutants.will",
    "dcompute_sim.net.pcap",
    "dcompute_sim.net.tls_model",
    "dcompute_sim.nodes.firmware_node",
    "dcompute_sim.scenario.semantics",
    "subprocess",
    "typer",
}
"""Real sockets, other processes, emulated boards, updates, files of scenarios, the command line, TLS;
checks, kinds of fault and mutants that nobody asked for."""

_RUN = """
import sys
from dcompute_sim import Scenario, run_scenario
from dcompute_sim.scenario import find, shipped  # where scenarios are: no need to read one
keys = {"version": 1, "name": "two", "duration": "3min", "fleet": {"py": {"count": 2}},
        "expect": ["no_false_deaths"]}
assert run_scenario(Scenario.model_validate(keys)).verdict.status == "held"
print(*sys.modules)
"""


def test_a_virtual_run_of_a_scenario_made_in_code_needs_little() -> None:
    ran = subprocess.run([sys.executable, "-c", _RUN], check=True, stdout=subprocess.PIPE, text=True)
    loaded = set(ran.stdout.split())
    assert {"dcompute_sim.engines.virtual", "paho.mqtt.client"} <= loaded
    assert not NEEDLESS & loaded


def test_asked_for_they_come() -> None:
    """The package hands out what reads files as if it had it, and nothing that is not there."""
    import dcompute_sim.scenario

    assert {
        dcompute_sim.scenario.load.__name__,
        dcompute_sim.scenario.load_all.__name__,
        dcompute_sim.scenario.check.__name__,
    } == {
        "load",
        "load_all",
        "check",
    }
    assert not hasattr(dcompute_sim.scenario, "no_such_name")
