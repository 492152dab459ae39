"""Processes that can be killed and paused: brokers, and programs of ours."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from dcompute_sim.brokers.mosquitto import find_mosquitto, free_port

HERE = Path(__file__).parents[2]
PATIENCE_S = 60.0
BROKERS = ("mosquitto", "mosquitto with persistence", "embedded")


class Participant:
    """A process that is started again after it was killed.

    Args:
        is_up: asked after each start, until it says yes.
        lives: how many lives of it have begun to work, where it tells.
    """

    def __init__(
        self,
        command: list[str],
        log: Path,
        is_up: Callable[[], bool] = lambda: True,
        lives: Callable[[], int] | None = None,
    ) -> None:
        self._command = command
        self._log = log.open("ab")
        self._is_up = is_up
        self._lives = lives
        self._lives_before = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.paused = False

    def start(self) -> None:
        self._lives_before = self._lives() if self._lives is not None else -1
        # By the end of this pipe a process of ours can tell that we are gone.
        self._process = subprocess.Popen(
            self._command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._log
        )
        give_up_s = time.monotonic() + PATIENCE_S
        while not self._is_up():
            if self._process.poll() is not None or time.monotonic() > give_up_s:
                raise RuntimeError(f"{' '.join(self._command)} did not start: {self.said()}")
            time.sleep(0.005)

    def said(self) -> str:
        """The end of the log, to which all of its like write."""
        return Path(self._log.name).read_text(errors="replace")[-2000:]

    def status(self) -> int | None:
        """Its exit status if it has ended by itself."""
        return None if self._process is None else self._process.poll()

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def has_begun(self) -> bool:
        """Whether this life of it is at work, as far as it tells: on a busy machine that takes a while."""
        return self.is_running() and (self._lives() if self._lives is not None else 0) > self._lives_before

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
        if setpriv := shutil.which("setpriv"):  # by which the kernel ends it with us
            command = [setpriv, "--pdeathsig", "KILL", "--", *command]
    return Participant(command, folder / "broker.log", lambda: _listens(port)), port


def program(name: str, log: Path, *arguments: object, tells: Path | None = None) -> Participant:
    """One of ours, a module beside this one. `tells`: a folder in which each of its lives has a file."""
    command = [sys.executable, "-m", f"benchmarks.kills.{name}", *map(str, arguments)]
    if tells is None:
        return Participant(command, log)
    return Participant(command, log, lives=lambda: len(list(tells.iterdir())) if tells.exists() else 0)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
