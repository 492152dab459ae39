"""Public libraries for MicroPython, unmodified, on emulated ESP32s in either time, over a broker's restart.

They are fetched by git into a temporary folder and not kept. Each board runs one of them under a short
program that prints a line for each thing that worked: mqtt_as and umqtt.robust publish and hear themselves,
microdot answers a client, a ThreadSafeQueue (on asyncio's ThreadSafeFlag) hands over what a thread put in.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dcompute_sim.run import RunOptions, run_scenario
from dcompute_sim.scenario import load
from dcompute_sim.trace import NodeOutput, ProgramEnded

from benchmarks.figures import Figure

LENGTH_S, OUTAGE_S, BACK_S = 60, 20, 45  # the broker restarts; by then everybody is back
WORKED = "worked"

_JOIN = """
import asyncio, config, network, time
def join():
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    wlan.connect(config.WIFI_SSID, config.WIFI_PASSWORD)
    while not wlan.isconnected():
        time.sleep_ms(100)
"""


@dataclass(frozen=True)
class Program:
    """A library in its repository, and what tries it.

    Attributes:
        repository: of GitHub.
        folders: what of it goes where on the board.
        main: prints `WORKED` and a number, about once a second.
    """

    repository: str
    folders: Mapping[str, str]
    main: str


PROGRAMS = {
    "mqtt-as": Program(
        "peterhinch/micropython-mqtt",
        {"mqtt_as/__init__.py": "mqtt_as/__init__.py"},
        """
from mqtt_as import MQTTClient, config as settings
settings.update(server=config.MQTT_HOST, port=config.MQTT_PORT, ssid=config.WIFI_SSID,
                wifi_pw=config.WIFI_PASSWORD, client_id=config.NODE_ID, keepalive=10, queue_len=8)
client = MQTTClient(settings)
async def renew():
    while True:
        await client.up.wait()
        client.up.clear()
        await client.subscribe("echo/" + config.NODE_ID, 1)
async def hear():
    async for topic, message, retained in client.queue:
        print("worked", message.decode())
async def main():
    await client.connect()
    asyncio.create_task(renew())
    asyncio.create_task(hear())
    n = 0
    while True:
        await asyncio.sleep(1)
        n += 1
        await client.publish("echo/" + config.NODE_ID, str(n), qos=1)
asyncio.run(main())
""",
    ),
    "umqtt-robust": Program(
        "micropython/micropython-lib",
        {
            "micropython/umqtt.simple/umqtt/simple.py": "umqtt/simple.py",
            "micropython/umqtt.robust/umqtt/robust.py": "umqtt/robust.py",
        },
        """
from umqtt.robust import MQTTClient
join()
client = MQTTClient(config.NODE_ID, config.MQTT_HOST, config.MQTT_PORT, keepalive=10)
client.set_callback(lambda topic, message: print("worked", message.decode()))
client.connect(clean_session=False)
client.subscribe(b"echo/" + config.NODE_ID.encode(), 1)
n = 0
while True:
    n += 1
    client.publish(b"echo/" + config.NODE_ID.encode(), str(n).encode(), qos=0)
    client.ping()
    for _ in range(10):
        client.check_msg()
        time.sleep_ms(100)
""",
    ),
    "microdot": Program(
        "miguelgrinberg/microdot",
        {"src/microdot": "microdot"},
        """
from microdot import Microdot
join()
app = Microdot()
@app.get("/number/<int:n>")
async def number(request, n):
    return {"n": n}
async def main():
    server = asyncio.create_task(app.start_server(host="127.0.0.1", port=_HTTP_))
    n = 0
    while True:
        await asyncio.sleep(1)
        n += 1
        reader, writer = await asyncio.open_connection("127.0.0.1", _HTTP_)
        writer.write(b"GET /number/%d HTTP/1.0\\r\\n\\r\\n" % n)
        await writer.drain()
        answer = await reader.read(-1)
        writer.close()
        await writer.wait_closed()
        assert answer.endswith(b'{"n": %d}' % n), answer
        print("worked", n)
asyncio.run(main())
""",
    ),
    "thread-safe-flag": Program(
        "peterhinch/micropython-async",
        {"v3/threadsafe": "threadsafe"},
        """
import _thread
from threadsafe import ThreadSafeQueue
queue = ThreadSafeQueue(8)
def measure():
    n = 0
    while True:
        time.sleep(1)
        n += 1
        queue.put_sync(n)
async def main():
    _thread.start_new_thread(measure, ())
    async for n in queue:
        print("worked", n)
asyncio.run(main())
""",
    ),
}


def measure() -> list[Figure]:
    """All figures."""
    with tempfile.TemporaryDirectory() as folder:
        scenario = _lay_out(Path(folder))
        return [*_run(scenario, "virtual"), *_run(scenario, "real")]


def _lay_out(folder: Path) -> Path:
    for name, program in PROGRAMS.items():
        clone = folder / "clones" / name
        url = f"https://github.com/{program.repository}"
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", url, str(clone)], check=True)
        board = folder / name
        for source, target in program.folders.items():
            (board / target).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (clone / source).is_dir() else shutil.copy
            copy(clone / source, board / target)
        (board / "main.py").write_text(_JOIN + program.main.replace("_HTTP_", "28765"), encoding="utf-8")
    scenario = folder / "public.yaml"
    groups = "".join(f"  {name}: {{kind: firmware, count: 1, files: {name}}}\n" for name in PROGRAMS)
    scenario.write_text(
        f"version: 1\nname: public\nduration: {LENGTH_S}s\nfleet:\n{groups}"
        f"faults:\n  - {{kind: broker_restart, at: {OUTAGE_S}s}}\nexpect: [no_false_deaths]\n",
        encoding="utf-8",
    )
    return scenario


def _run(path: Path, time: Literal["virtual", "real"]) -> list[Figure]:
    events = run_scenario(load(path), RunOptions(time=time, broker="model")).trace.events
    ended = [event for event in events if isinstance(event, ProgramEnded)]
    assert not ended, ended
    figures = []
    for name in PROGRAMS:
        at_s = [
            event.t_us / 1e6
            for event in events
            if isinstance(event, NodeOutput) and event.node.startswith(name) and event.text.startswith(WORKED)
        ]
        figures += _figures(f"{name}, {time} time", at_s)
    return figures


def _figures(what: str, at_s: Sequence[float]) -> list[Figure]:
    before, after = (sum(1 for t in at_s if t < OUTAGE_S), sum(1 for t in at_s if t > BACK_S))
    return [
        Figure(f"{what}: worked before the broker's restart", before, "times", "at_least", 2),
        Figure(f"{what}: and after it", after, "times", "at_least", 5),
    ]
