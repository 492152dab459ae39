"""A program with the broker's address in its source finds the run's broker there, under any spelling."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from dcompute_sim import trace as t
from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import load

PROGRAM = """
import network, socket, time
from umqtt.simple import MQTTClient
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect("at home", "as ever")
while not wlan.isconnected():
    time.sleep_ms(20)
for number, (host, port) in enumerate((("broker.example", 1883), (b"192.168.1.4", 0), ("192.168.1.4", 8883))):
    MQTTClient("n-%d" % number, host, port).connect()
plain = socket.socket()
plain.connect(("192.168.1.4", 1883))
print("all", len(socket.getaddrinfo("broker.example", 1)))
try:
    MQTTClient("n-9", "elsewhere.invalid").connect()
except OSError as error:
    print("elsewhere", error)
"""
SCENARIO = """
version: 1
name: elsewhere
duration: 8s
fleet:
  n: {kind: firmware, files: program, id: n-0, broker_at: [broker.example, 192.168.1.4]}
"""


@pytest.mark.parametrize("time", ["virtual", "real"])
def test_each_address_of_the_source_leads_to_the_runs_broker(
    tmp_path: Path, time: Literal["virtual", "real"]
) -> None:
    (tmp_path / "program").mkdir()
    (tmp_path / "program/main.py").write_text(PROGRAM)
    (tmp_path / "elsewhere.yaml").write_text(SCENARIO)
    outcome = run_scenario(load(tmp_path / "elsewhere.yaml"), RunOptions(time=time))
    printed = [event.text for event in outcome.trace if isinstance(event, t.NodeOutput)]
    assert printed[0] == "all 1", printed
    assert printed[1].startswith("elsewhere -"), printed


def test_boot_py_and_main_py_are_one_program_and_a_stand_in_is_none_of_it(tmp_path: Path) -> None:
    """Programs import in boot.py what main.py uses: the port runs both in `__main__`."""
    program, drivers = tmp_path / "program", tmp_path / "drivers"
    program.mkdir()
    drivers.mkdir()
    (program / "boot.py").write_text("import json\nlimit = 3\ndef greet():\n    return limit + more\n")
    (program / "main.py").write_text("more = 4\nprint(json.dumps([greet(), 'faked' in globals()]))\n1 // 0\n")
    (drivers / "stand_ins.py").write_text("faked = True\n")
    (tmp_path / "one.yaml").write_text(
        "version: 1\nname: one\nduration: 5s\n"
        "fleet: {n: {kind: firmware, files: program, stand_ins: drivers}}\n"
    )
    trace = run_scenario(load(tmp_path / "one.yaml")).trace
    printed = [event.text for event in trace if isinstance(event, t.NodeOutput)]
    assert printed[0] == "[7, false]"
    assert printed[1:5] == [
        "Traceback (most recent call last):",
        '  File "main.py", line 3, in <module>',
        "ZeroDivisionError: divide by zero",
        "",
    ], "as a board says it: none of the emulator's own frames"
