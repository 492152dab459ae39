"""dcompute's own firmware, unchanged, on emulated boards: what its node core does reaches the testbed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.brokers.model import tcp_server
from dcompute_sim.brokers.real_broker import BrokerSecurity
from dcompute_sim.fwbuild.build_errors import FirmwareError
from dcompute_sim.fwbuild.firmware_files import layout, product
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.compiled import SHIMS
from dcompute_sim.micropython.process import FirmwareProcess
from dcompute_sim.micropython.provision import Emulator

from .conftest import VirtualRig

_NODE = "020000000107"
_CONFIG = {
    "WIFI_SSID": "testbed",
    "WIFI_PASSWORD": "password",
    "STATIC_IP": None,
    "NETMASK": "255.255.255.0",
    "GATEWAY": "10.0.0.1",
    "DNS_SERVER": "10.0.0.1",
    "MQTT_HOST": "broker",
    "MQTT_PORT": 1883,
    "MQTT_USER": None,
    "MQTT_PASSWORD": None,
    "MQTT_TLS": False,
    "NODE_TYPE": "ESP32",
}


def _field(text: str) -> bytes:
    return len(text).to_bytes(2, "big") + text.encode()


def _client_with_a_task() -> bytes:
    """CONNECT and PUBLISH (QoS 0) of a task for the node, short enough for one-byte lengths."""
    task = json.dumps({"id": "t1", "task": "add", "numbers": [1, 2], "priority": 7})
    connect = _field("MQTT") + b"\x04\x02\x00\x3c" + _field("tester")
    publish = _field(_NODE) + task.encode()
    return b"\x10" + bytes([len(connect)]) + connect + b"\x30" + bytes([len(publish)]) + publish


def _core_events(heard: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(event["name"], event["fields"]) for event in heard.all("core")]


def _names(heard: Any) -> list[str]:
    return [name for name, _ in _core_events(heard)]


def _check(events: list[tuple[str, dict[str, Any]]]) -> None:
    names = [name for name, _ in events]
    assert names[:3] == ["node_connecting", "status_published", "node_connected"]
    assert len({fields["inc"] for name, fields in events[:3]}) == 1
    seen = dict(events)
    assert seen["task_received"] == {"task": "t1", "priority": 7, "attempt": 1}
    assert seen["task_taken"] == seen["task_received"]
    assert seen["result_held"]["task"] == "t1"
    assert names.index("task_received") < names.index("task_taken") < names.index("result_held")


@pytest.mark.parametrize("compiled", [True, False])
def test_in_virtual_time(virtual: VirtualRig, emulator: Emulator, compiled: bool) -> None:
    if not compiled:
        virtual.emulator = replace(emulator, shims=SHIMS)
    virtual.serve_mqtt()
    board, heard = virtual.add(product(), config=_CONFIG, heap_bytes=96 * 1024)
    board.start()
    virtual.run(5)
    sender = virtual.network.host("tester").connect_stream("broker", 1883)
    virtual.run(6)
    sender.write(_client_with_a_task())
    virtual.run(10)
    _check(_core_events(heard))
    board.host.link.drop()
    board.radio(ap=False)
    virtual.run(200)
    assert "node_disconnected" in _names(heard)
    before = len(heard.happened)
    board.host.link.up()
    board.radio(ap=True)
    virtual.run(300)
    assert "core" in [kind for kind, _ in heard.happened[before:]]
    assert _names(heard).count("node_connected") == 2
    assert not heard.all("crash")


def test_in_real_time(emulator: Emulator, tmp_path: Path, real_recorder: Callable[[], Any]) -> None:
    async def go() -> None:
        port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        stop = asyncio.Event()
        serving = asyncio.ensure_future(
            tcp_server.serve(
                "127.0.0.1",
                0,
                security=BrokerSecurity(),
                state_file=None,
                on_listening=lambda _, number: port.set_result(number),
                stop=stop,
            )
        )
        heard = real_recorder()
        config = _CONFIG | {"MQTT_HOST": "127.0.0.1", "MQTT_PORT": await port}
        board = Board(bytes.fromhex(_NODE), [product()], config=config, heap_bytes=96 * 1024)
        process = FirmwareProcess(emulator, board, heard)
        try:
            process.start()
            await heard.wait(lambda: "node_connected" in _names(heard))
            _, writer = await asyncio.open_connection("127.0.0.1", await port)
            writer.write(_client_with_a_task())
            await heard.wait(lambda: "result_held" in _names(heard))
            writer.close()
            _check(_core_events(heard))
        finally:
            process.close()
            stop.set()
            await serving

    asyncio.run(go())


def test_the_flash_is_what_mip_would_install(tmp_path: Path) -> None:
    placed = layout([product()])
    assert "dcompute/node_core.py" in placed
    assert "main.py" in placed
    assert "package.json" not in placed
    assert all(source.is_file() for source in placed.values())


@pytest.mark.parametrize(
    ("description", "complaint"),
    [("{", "not as `mip` wants it"), ('{"urls": [["a.py", "gone.py"]]}', r"gone\.py"), ("{}", "urls")],
)
def test_a_bad_package_is_named(tmp_path: Path, description: str, complaint: str) -> None:
    (tmp_path / "package.json").write_text(description)
    with pytest.raises(FirmwareError, match=complaint):
        layout([tmp_path])
