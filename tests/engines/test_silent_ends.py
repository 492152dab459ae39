"""A chip that stops by itself ends no connection, in either time: its broker has to wait."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from dcompute_sim import trace as t
from dcompute_sim.run import RunOutcome

Run = Callable[..., RunOutcome]

# A client that a broker keeps for as long as it says nothing, and a device that then stops as its name says.
_MAIN = """
import config, machine, network, time
from umqtt.simple import MQTTClient
w = network.WLAN(network.STA_IF)
w.active(True)
w.connect(config.WIFI_SSID, config.WIFI_PASSWORD)
while not w.isconnected():
    time.sleep_ms(20)
if machine.reset_cause() == machine.PWRON_RESET:
    c = MQTTClient(config.NODE_ID, config.MQTT_HOST, config.MQTT_PORT, keepalive=60)
    c.connect()
    c.publish("elsewhere", b"x" * 100)
    time.sleep_ms(500)
    END
while True:
    time.sleep(1)
"""
_ENDS = {
    "resets": "machine.reset()",
    "sleeps": "machine.deepsleep(20000)",
    "bitten": "machine.WDT(timeout=1000)",
    "closes": "c.sock.close()",  # which says so, as ever
    "softly": "machine.soft_reset()",  # frees its sockets, and what is freed is closed
}


@pytest.mark.parametrize("time", ["virtual", "real"])
def test_what_a_chip_leaves_behind_stays_open(run: Run, tmp_path: Path, time: str) -> None:
    fleet = {}
    for name, end in _ENDS.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "main.py").write_text(_MAIN.replace("END", end))
        fleet[name] = {"kind": "firmware", "count": 1, "keepalive": "60s", "files": str(folder)}
    keys = {"duration": "5s", "fleet": fleet, "expect": ["no_errors_in_log"]}
    outcome = run(keys, time=time, broker="model")
    ends = [(event.node, event.how) for event in outcome.trace if isinstance(event, t.NodeStopped)]
    assert {(f"{name}-1", "reboot") for name in ("resets", "sleeps", "bitten", "softly")} <= set(ends)
    closed = {event.node: event.how for event in outcome.trace if isinstance(event, t.WireClosed)}
    assert (closed["closes-1"], closed["softly-1"]) == ("fin", "fin")
    assert {closed.get(f"{name}-1", "lost") for name in ("resets", "sleeps", "bitten")} == {"lost"}
