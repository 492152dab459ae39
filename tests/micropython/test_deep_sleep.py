"""Deep sleep: all but the clock is off, and the board starts anew when its time is over; in either time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from dcompute_sim.micropython import board as boards
from dcompute_sim.micropython.process import RESTART_S

from .conftest import VirtualRig

_NAP = """
import _thread, machine, time
print("cause", machine.reset_cause(), machine.wake_reason())
def talk():
    while True:
        print("awake")
        time.sleep_ms(20)
if machine.reset_cause() == machine.PWRON_RESET:
    _thread.start_new_thread(talk, ())
    time.sleep_ms(100)
    machine.deepsleep(NAP)
print("done")
"""
NAP_MS = 700


def _nap(ms: str) -> str:
    return _NAP.replace("NAP", ms)


@pytest.mark.parametrize("time", ["real", "virtual"])
def test_a_sleeping_board_does_nothing_until_it_wakes(request: pytest.FixtureRequest, time: str) -> None:
    """Its other thread, which pinged on as if the board were awake, is gone with all the rest."""
    rig = request.getfixturevalue(time)
    if time == "virtual":
        board, heard = rig.add(_nap(str(NAP_MS)))
        board.start()
        rig.run(5)
    else:

        async def go() -> Any:
            async with rig.running(_nap(str(NAP_MS))) as (_, heard):
                await heard.wait_line("done")
                return heard

        heard = asyncio.run(go())
    assert heard.all("started") == [(1, boards.PWRON_RESET), (2, boards.DEEPSLEEP_RESET)]
    assert heard.all("stopped")[:1] == ["deepsleep"]
    assert [line for line in heard.lines if line != "awake"] == ["cause 1 0", "cause 4 4", "done"]
    (fell_asleep_s,) = [at for at, what in heard.times if what == "stopped deepsleep"]
    (woke_s,) = [at for at, what in heard.times if what == "started (2, 4)"]
    assert not [what for at, what in heard.times if fell_asleep_s < at < woke_s]
    assert "line awake" not in [what for at, what in heard.times if at > fell_asleep_s]
    assert woke_s - fell_asleep_s >= NAP_MS / 1e3 + RESTART_S - 0.01


def test_without_a_time_it_sleeps_until_somebody_switches_it_on(virtual: VirtualRig) -> None:
    board, heard = virtual.add(_nap(""))
    board.start()
    virtual.run(3600)
    assert heard.all("stopped") == ["deepsleep"]
    assert not board.running
    board.start()
    virtual.run(3610)
    assert board.boots == 2
    assert heard.lines.count("cause 1 0") == 2


def test_to_the_broker_a_sleeper_is_silent_as_one_without_power(virtual: VirtualRig) -> None:
    """No FIN: what it had open hangs until the keepalive is over, and its will says that it died."""
    virtual.serve_mqtt()
    board, _ = virtual.add(
        """
        import machine, network, time
        wlan = network.WLAN(network.STA_IF)
        wlan.active(True)
        wlan.connect("a", "b")
        while not wlan.isconnected():
            time.sleep_ms(20)
        from umqtt.simple import MQTTClient
        client = MQTTClient("sleeper", "broker", keepalive=10)
        client.set_last_will(b"gone", b"sleeper")
        client.connect()
        time.sleep(1)
        machine.deepsleep(60000)
        """
    )
    watcher, heard = virtual.add(
        """
        import network, time
        wlan = network.WLAN(network.STA_IF)
        wlan.active(True)
        wlan.connect("a", "b")
        while not wlan.isconnected():
            time.sleep_ms(20)
        from umqtt.simple import MQTTClient
        client = MQTTClient("watcher", "broker", keepalive=600)
        client.set_callback(lambda topic, message: print(topic, message))
        client.connect()
        client.subscribe(b"gone")
        while True:
            client.wait_msg()
        """,
        "watcher",
        uid=bytes(6),
    )
    watcher.start()
    board.start()
    virtual.run(40)
    (missed_s,) = [at for at, what in heard.times if "gone" in what]
    assert 14 < missed_s < 18, "one and a half times the keepalive after its last packet"
