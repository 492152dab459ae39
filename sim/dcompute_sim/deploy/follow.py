"""Shows what boards print and what a broker tells, live, line by line."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from dcompute.events import DeathReported, MasterEvent, NodeStatusSeen, ResultReceived
from dcompute.parts import printable
from dcompute_sim.deploy.board_config import DeployTarget
from dcompute_sim.deploy.progress import label
from dcompute_sim.deploy.serial_log import SerialLog
from dcompute_sim.hardware.board_errors import BoardError, PortMissing
from dcompute_sim.hardware.serial_link import SerialLink

_REOPEN_S = 0.5
_LOOK_S = 0.2


class Follower:
    """Follows several boards side by side."""

    def __init__(self, targets: Sequence[DeployTarget], out: Callable[[str], None]) -> None:
        """Begin with nothing known. `out` is given each line; never by two threads at once."""
        self._targets = targets
        self._out = out
        self._lock = threading.Lock()
        self._over = threading.Event()

    def news(self, event: MasterEvent) -> None:
        """Take what the broker tells (a MasterNodeTransport's observer)."""
        match event:
            case NodeStatusSeen(node, status, inc):
                self._say(f"@{node}", f"status {status} inc={inc}")
            case DeathReported(node, inc, cause):
                self._say(f"@{node}", f"died, cause={cause} inc={inc}")
            case ResultReceived(node, task, value):
                self._say(f"@{node}", f"result task={task} value={value}")

    def stop(self) -> None:
        """Let `run` end, from any thread."""
        self._over.set()

    def run(self, seconds: float | None, reset: bool) -> None:
        """Follow until Ctrl-C, or for so many seconds. Raises PortMissing if no port can be opened."""
        give_up = None if seconds is None else time.monotonic() + seconds
        with ThreadPoolExecutor(max(1, len(self._targets)), "log") as pool:
            running = [pool.submit(self._follow, target, reset) for target in self._targets]
            try:
                while not self._over.wait(_LOOK_S) and not all(future.done() for future in running):
                    if give_up is not None and time.monotonic() >= give_up:
                        break
            finally:
                self._over.set()
            for future in running:
                future.result()

    def _follow(self, target: DeployTarget, reset: bool) -> None:
        opened = False
        while not self._over.is_set():
            try:
                with SerialLink(target.port) as link:
                    opened = True
                    if reset:
                        link.enter()
                        link.restart()
                        reset = False
                    log = SerialLog(link, lambda line: self._say(label(target), line))
                    with contextlib.suppress(OSError):
                        while not self._over.is_set() and not log.over:
                            log.follow(_LOOK_S)
            except PortMissing:
                if not opened:  # it never was there; one that was may come back
                    raise
            except BoardError as error:
                self._say(label(target), f"-- {error}")
            self._over.wait(_REOPEN_S)

    def _say(self, who: str, line: str) -> None:
        with self._lock:
            self._out(f"{time.strftime('%H:%M:%S')} {who}: {printable(line)}")
