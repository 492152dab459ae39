"""Boards on serial ports for these tests: virtual ones, reached through mpremote's transport."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dcompute_sim.fwbuild.firmware_files import layout, product

from ..conftest import PATIENCE_S

WIFI = 'WIFI_SSID = "lab"\nWIFI_PASSWORD = "as it was before"\nSTATIC_IP = None\n'
OWN_CONFIG = WIFI + (
    'MQTT_HOST = "127.0.0.1"\nMQTT_PORT = 1\nMQTT_USER = None\nMQTT_PASSWORD = None\nMQTT_TLS = False\n'
    'NODE_TYPE = "ESP32"\n'
)


def deploy(root: Path) -> None:
    """Our firmware and a config.py of its owner's on a flash."""
    root.mkdir(parents=True, exist_ok=True)
    for name, source in layout([product()]).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(source.read_bytes())
    (root / "config.py").write_text(OWN_CONFIG)


ServeBoard = Callable[[Path], str]


@pytest.fixture
def serve_board(tmp_path: Path) -> Iterator[ServeBoard]:
    """`serve_board(root)`: the port of a board in a process of its own, as far away as a real one."""
    processes: list[subprocess.Popen[bytes]] = []

    def serve(root: Path) -> str:
        port_file = tmp_path / f"port-{len(processes)}"
        argv = [sys.executable, "-c", "from dcompute_sim.virtual_boards.cli import app; app()"]
        argv += ["--root", str(root), "--port-file", str(port_file)]
        processes.append(subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        deadline = time.monotonic() + PATIENCE_S
        while not port_file.exists():
            assert processes[-1].poll() is None, "the board's process ended"
            assert time.monotonic() < deadline, "no port file"
            time.sleep(0.01)
        return port_file.read_text().strip()

    yield serve
    for process in processes:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
