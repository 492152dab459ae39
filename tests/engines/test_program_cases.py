"""Small programs of boards whose truth is known before: timers, flags, sleep, sockets that still connect.

What each does on a board is in MicroPython's documentation and source; what comes of it for a master follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.checks import Status
from dcompute_sim.run import RunOutcome

Run = Callable[..., RunOutcome]
HELD, FAILED = Status.HELD, Status.FAILED

JOINS = """
import asyncio, config, json, machine, network, select, socket, time
w = network.WLAN(network.STA_IF)
w.active(True)
w.connect(config.WIFI_SSID, config.WIFI_PASSWORD)
while not w.isconnected(): time.sleep_ms(100)
STATUS = config.NODE_ID + "/status"
def says(status): return json.dumps(dict(node_id=config.NODE_ID, status=status))
"""
CONNECTS = f"""{JOINS}
from umqtt.simple import MQTTClient
c = MQTTClient(config.NODE_ID, config.MQTT_HOST, config.MQTT_PORT, keepalive=config.MQTT_KEEPALIVE)
c.set_last_will(STATUS, says("dead"), True, 1)
c.connect()
c.publish(STATUS, says("ready"), True, 1)
"""
LEAVES = 'c.publish(STATUS, says("offline"), True, 1); c.disconnect()'
PINGS = "while True:\n    c.ping()\n    time.sleep(2)"
NEVER_DEAD = {"never": {"event": "node_status_seen", "where": {"status": "dead"}}}
NO_PING = "nothing was sent for 9 s at a keepalive of 6 s: no PINGREQ"
TRIES_TO_CONNECT = "try: s.connect(to)\nexcept OSError as error: print(error)\n"
WAITS = "p = select.poll()\np.register(s, select.POLLOUT)\np.poll()\n"


def pings_by_timer(mode: str, also: str = "") -> str:
    """A timer sends the pings, while the program itself sleeps."""
    timer = f"machine.Timer(0).init(period=2000, mode=machine.Timer.{mode}, callback=lambda t: c.ping())"
    return f"{CONNECTS}\n{timer}\n{also}\nwhile True: time.sleep(1)"


def pings_by_flag(kind: str, mode: str) -> str:
    """A timer sets what a task waits for, which sends the pings."""
    return f"""{CONNECTS}
flag = asyncio.{kind}()
machine.Timer(0).init(period=2000, mode=machine.Timer.{mode}, callback=lambda t: flag.set())
async def main():
    while True:
        await flag.wait()
        flag.clear()
        c.ping()
asyncio.run(main())
"""


def sleeps_once(before: str) -> str:
    """It sleeps deeply for longer than the broker has patience with it, and is there again."""
    asleep = (
        f"if machine.reset_cause() != machine.DEEPSLEEP_RESET:\n    {before}\n    machine.deepsleep(12000)"
    )
    return f"{CONNECTS}\n{asleep}\n{PINGS}"


def sleeps_too_soon() -> str:
    """It goes to sleep again before it has connected, each time."""
    return f"{JOINS}\ntime.sleep(8)\nmachine.deepsleep(1000)"


def connects_without_waiting(how: str) -> str:
    """MQTT by hand over a socket that does not block: `connect` returns before there is a connection."""
    return rf"""{JOINS}
def text(what): return len(what).to_bytes(2, "big") + what.encode()
def send(kind, body): return s.write(bytes((kind, len(body))) + body)
s = socket.socket()
s.setblocking(False)
to = socket.getaddrinfo(config.MQTT_HOST, config.MQTT_PORT)[0][-1]
{how}
send(0x10, text("MQTT") + b"\4\x2e\0\6" + text(config.NODE_ID) + text(STATUS) + text(says("dead")))
time.sleep(1)
while True:
    send(0x31, text(STATUS) + says("ready").encode())
    time.sleep(3)
"""


CASES: Mapping[str, tuple[str, Status, str]] = {
    # what: the program, the verdict, and words in it
    "a timer pings": (pings_by_timer("PERIODIC"), HELD, ""),
    "a timer pings once": (pings_by_timer("ONE_SHOT"), FAILED, NO_PING),
    "a timer is another's by now": (
        pings_by_timer("PERIODIC", "machine.Timer(0, period=500, callback=lambda t: None)"), FAILED, NO_PING),
    "a sleeper says that it leaves": (sleeps_once(LEAVES), HELD, ""),
    "a sleeper says nothing": (sleeps_once("pass"), FAILED, "never: node_status_seen happened 1 time"),
    "a sleeper never connects": (sleeps_too_soon(), FAILED, "n-1 never reached the broker"),
    "a flag is set from a timer": (pings_by_flag("ThreadSafeFlag", "PERIODIC"), HELD, ""),
    "a flag is waited for twice and set once": (
        pings_by_flag("ThreadSafeFlag", "ONE_SHOT"), FAILED, NO_PING),
    "an event is no flag": (  # a loop in which nothing can happen any more ends
        pings_by_flag("Event", "PERIODIC"), FAILED, "its program had ended: it came to its last line"),
    "a socket is used once it is connected": (
        connects_without_waiting(TRIES_TO_CONNECT + WAITS), HELD, ""),
    "a socket is used at once": (
        connects_without_waiting(TRIES_TO_CONNECT), FAILED, "opened a TCP connection, and sent no CONNECT"),
    "a socket that connects is taken for an error": (
        connects_without_waiting("s.connect(to)"), FAILED, "died of OSError: [Errno 115] EINPROGRESS"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_verdict_is_the_right_one(run: Run, tmp_path: Path, case: str) -> None:
    program, status, words = CASES[case]
    (tmp_path / "main.py").write_text(program)
    scenario: dict[str, Any] = {
        "duration": "35s",
        "fleet": {"n": {"kind": "firmware", "keepalive": "6s", "files": str(tmp_path)}},
        "expect": ["no_false_deaths", {"final_status": {"status": "ready"}}, NEVER_DEAD],
    }
    verdict = run(scenario).verdict
    told = [
        f"{each.name}: {each.outcome.summary}" for each in verdict.results if each.outcome.status is not HELD
    ]
    assert verdict.status is status, told
    assert words in " ".join(told)
