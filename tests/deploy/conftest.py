"""What deploying is tested with: virtual boards and a real broker on a loop of their own; the command."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from dcompute_sim.brokers.model.tcp_server import serve
from dcompute_sim.brokers.real_broker import BrokerSecurity
from dcompute_sim.deploy.cli import app
from dcompute_sim.fwbuild.compile import compile_firmware
from dcompute_sim.micropython.board import Board
from dcompute_sim.micropython.compiled import shim_sources
from dcompute_sim.micropython.provision import Emulator, mpy_cross
from dcompute_sim.virtual_boards.serial import PtyPort
from dcompute_sim.virtual_boards.virtual_board import VirtualBoard
from typer.testing import CliRunner

from dcompute.master_transport import MasterNodeTransport

from ..conftest import PATIENCE_S
from .boots import Boots

AIR: dict[str, Any] = {
    "scan_ms": 1,
    "join_ms": 1,
    "dhcp_ms": 1,
    "ssid": "workshop",
    "password": "hammer and tongs",
}
Result = TypeVar("Result")


class Desk:
    """A broker, and boards as they are plugged in; all on one loop, which a thread of its own turns."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self.folder = folder
        self._emulator = emulator
        self._boards: list[VirtualBoard] = []
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="desk")
        self._thread.start()
        self._stop = asyncio.Event()
        self.port = 0
        self._broker = asyncio.run_coroutine_threadsafe(self._serve(), self.loop)
        self.until(lambda: self.port)

    async def _serve(self) -> None:
        def listening(_: str, port: int) -> None:
            self.port = port

        security = BrokerSecurity()
        await serve(
            "127.0.0.1", 0, security=security, state_file=None, on_listening=listening, stop=self._stop
        )

    def unplug_all(self) -> None:
        while self._boards:
            self.do(self._boards.pop().close())

    def close(self) -> None:
        self.unplug_all()
        self.loop.call_soon_threadsafe(self._stop.set)
        self._broker.result(PATIENCE_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_S)
        self.loop.close()

    def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do something on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)

    def call(self, function: Callable[[], Result]) -> Result:
        """Call something on the loop."""

        async def work() -> Result:
            return function()

        return self.do(work())

    def until(self, condition: Callable[..., Any]) -> None:
        """Wait for a condition."""
        give_up = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < give_up, "waited in vain"
            time.sleep(0.005)

    def until_ready(self, node_id: str) -> None:
        """Wait until the broker has heard that a node is ready."""
        with MasterNodeTransport("127.0.0.1", self.port) as master:
            self.until(lambda: node_id in [info["node_id"] for info in master.get_nodes_by_status("ready")])

    def root(self, name: str, files: dict[str, str] | Path | None = None) -> Path:
        """The flash of a new board."""
        root = self.folder / name
        if isinstance(files, Path):
            shutil.copytree(files, root)
            return root
        root.mkdir()
        for path, text in (files or {}).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        return root

    def flash(self, root: Path) -> dict[str, bytes]:
        """What is on a flash."""
        files = (path for path in sorted(root.rglob("*")) if path.is_file())
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}

    def plug_in(
        self, root: Path, number: int = 1, air: dict[str, Any] | None = None, **settings: Any
    ) -> VirtualBoard:
        """A board on that flash, plugged in."""

        async def make() -> VirtualBoard:
            chip = Board(bytes([2, 0, 0, 0, 0, number]), (), radio=air or AIR)
            board = VirtualBoard(
                self._emulator, chip, root, PtyPort(), broker=("127.0.0.1", self.port), **settings
            )
            await board.plug_in()
            return board

        board = self.do(make())
        self._boards.append(board)
        return board

    def config(self, **settings: Any) -> Path:
        """A config.py for the broker on the desk, but for these settings."""
        values = {
            "WIFI_SSID": AIR["ssid"],
            "WIFI_PASSWORD": AIR["password"],
            "STATIC_IP": None,
            "MQTT_HOST": "127.0.0.1",
            "MQTT_PORT": self.port,
            "MQTT_USER": None,
            "MQTT_PASSWORD": None,
            "MQTT_TLS": False,
            "NODE_TYPE": "ESP32",
            "NODE_ID": "kiln",
        }
        path = self.folder / "config.py"
        path.write_text("".join(f"{name} = {value!r}\n" for name, value in (values | settings).items()))
        return path

    def fleet(self, **ports: str) -> Path:
        """A fleet file for boards at these ports."""
        boards = "".join(f"  {name}: {{port: {port}}}\n" for name, port in ports.items())
        path = self.folder / "fleet.yaml"
        path.write_text(FLEET.format(port=self.port) + boards)
        return path


FLEET = """\
defaults:
  wifi: {{ssid: workshop, password: "${{WORKSHOP}}"}}
  broker: {{host: 127.0.0.1, port: {port}}}
  settings: {{POLL_MS: 20}}
boards:
"""


class Said:
    """How a command ended and what it said, on one line each."""

    def __init__(self, status: int, out: str) -> None:
        self.status = status
        self.out = out

    def __repr__(self) -> str:
        return f"status {self.status}: {self.out}"


Command = Callable[..., Said]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """`dcompute deploy ...`; fails unless it exits as expected."""
    monkeypatch.setenv("WORKSHOP", AIR["password"])
    monkeypatch.delenv("COLUMNS", raising=False)  # xdist sets it: tables would wrap
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path, status: int = 0) -> Said:
        result = CliRunner().invoke(app, [str(word) for word in words])
        said = Said(result.exit_code, result.output)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert said.status == status, said
        assert "Traceback" not in said.out, said
        return said

    return run


@pytest.fixture(scope="session")
def bench(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    made = Desk(emulator, tmp_path_factory.mktemp("bench"))
    with contextlib.closing(made):
        yield made


@pytest.fixture
def desk(bench: Desk, tmp_path: Path) -> Iterator[Desk]:
    """A desk without boards; they are unplugged afterwards."""
    bench.folder = tmp_path
    try:
        yield bench
    finally:
        bench.unplug_all()


@pytest.fixture(scope="session")
def deployed(bench: Desk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flash to which version `one` was deployed, for the node `kiln`; to be copied."""
    bench.folder = tmp_path_factory.mktemp("deployed")
    root = bench.root("flash")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("WORKSHOP", AIR["password"])
            fleet = bench.fleet(kiln=bench.plug_in(root).address)
            result = CliRunner().invoke(app, ["--fleet", str(fleet), "--all", "--version", "one"])
            assert result.exit_code == 0, result.output
    finally:
        bench.unplug_all()
    return root


CONFIG = """\
WIFI_SSID = "workshop"
WIFI_PASSWORD = "hammer and tongs"
STATIC_IP = None
MQTT_HOST = "127.0.0.1"
MQTT_PORT = {port}
MQTT_USER = None
MQTT_PASSWORD = None
MQTT_TLS = False
NODE_TYPE = "ESP32"
POLL_MS = 20
"""


@pytest.fixture
def boots(desk: Desk, emulator: Emulator) -> Boots:
    return Boots(desk.loop, desk.port, desk.folder, emulator)


@pytest.fixture(scope="session")
def flat(bench: Desk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flash with the firmware as `mpremote cp` would put it: no slots."""
    folder = tmp_path_factory.mktemp("flat")
    compile_firmware(mpy_cross(), folder, built_in=shim_sources())
    (folder / "config.py").write_text(CONFIG.format(port=bench.port))
    return folder


@pytest.fixture(scope="session")
def slots(bench: Desk, flat: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flash to which version `one` was deployed."""
    before, bench.folder = bench.folder, tmp_path_factory.mktemp("slots")
    root: Path = bench.root("flash", flat)
    try:
        result = CliRunner().invoke(
            app, ["--port", bench.plug_in(root).address, "--compile", "--version", "one"]
        )
        assert result.exit_code == 0, result.output
        # `ready` is heard a moment before the board writes down that the trial is over
        bench.until(lambda: (root / "slot").read_text().split()[1:] == ["-", "0"])
    finally:
        bench.unplug_all()
        bench.folder = before
    return root
