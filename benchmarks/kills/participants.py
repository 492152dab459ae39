"""Processes that can be killed and paused: brokers, and programs of ours."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dcompute_sim.brokers.mosquitto import find_mosquitto, free_port

HERE = Path(__file__).parents[2]
PATIENCE_S = 20.0
BROKERS = ("mosquitto", "mosquitto with persistence", "embedded")


class Participant:
    """A process that is started again after it was killed.

    Args:
        is_up: asked after each start, until it says yes.
    """

    def __init__(self, command: list[str], log: Path, is_up: Callable[[], bool] = lambda: True) -> None:
        self._command = command
        self._log = log.open("ab")
        self._is_up = is_up
        self._process: subprocess.Popen[bytes] | None = None
        self.paused = False

    def start(self) -> None:
        # A process of ours whose stdin is a pipe can tell that we are gone.
        self._process = subprocess.Popen(
            self._command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._log
        )
        give_up_s = time.monotonic() + PATIENCE_S
        while not self._is_up():
            if self._process.poll() is not None or time.monotonic() > give_up_s:
                raise RuntimeError(f"{self._command[0]} did not start; see {self._log.name}")
            time.sleep(0.005)

    def status(self) -> int | None:
        """Its exit status if it has ended by itself."""
        return None if self._process is None else self._process.poll()

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process = None
        self.paused = False

    def pause(self) -> None:
        if self._process is not None and self.is_running():
            self._process.send_signal(signal.SIGSTOP)
            self.paused = True

    def resume(self) -> None:
        if self._process is not None and self.paused and self.is_running():
            self._process.send_signal(signal.SIGCONT)
        self.paused = False

    def end(self) -> None:
        self.kill()
        self._log.close()


def broker(kind: str, folder: Path) -> tuple[Participant, int]:
    """A broker, not started yet, and its port.

    mosquitto is as it comes: it drops what exceeds its queues. With persistence it saves itself every second,
    so that after a kill it believes what was true a second before.
    """
    port = free_port("127.0.0.1")
    if kind == "embedded":
        command = [sys.executable, "-m", "dcompute_sim.brokers.serve", "--die-with-parent"]
        command += ["--kind", "embedded", "--host", "127.0.0.1", "--port", str(port)]
    else:
        lines = [f"listener {port} 127.0.0.1", "allow_anonymous true"]
        if kind != "mosquitto":
            lines += [
                "persistence true",
                f"persistence_location {folder}/",
                "autosave_interval 1",
                "user root",
            ]
        config = folder / "mosquitto.conf"
        config.write_text("\n".join([*lines, ""]))
        command = [str(find_mosquitto()), "-c", str(config)]
    return Participant(command, folder / "broker.log", lambda: _listens(port)), port


def program(name: str, log: Path, *arguments: object) -> Participant:
    """One of ours, a module beside this one."""
    command = [sys.executable, "-m", f"benchmarks.kills.{name}", *map(str, arguments)]
    return Participant(command, log)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
