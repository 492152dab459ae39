"""Many boards at once: each in a thread, what they are at in one table, and how it ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from rich.console import Console
from rich.live import Live
from rich.table import Table

from dcompute_sim.deploy.board_config import DeployTarget
from dcompute_sim.deploy.deploy_errors import FAILED, OK, DeployError
from dcompute_sim.deploy.deployment import Say
from dcompute_sim.hardware.board_errors import BoardError

_AT_ONCE = 32
Result = TypeVar("Result")


class Interrupted(DeployError):
    """The user wants no more."""


class Progress:
    """What each board is at; a live table on a terminal, else a line for each step."""

    def __init__(self, console: Console, targets: Sequence[DeployTarget]) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._rows = {label(target): (target.port, "", "") for target in targets}
        self._live: Live | None = None
        self.interrupted = threading.Event()

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=8)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def of(self, target: DeployTarget) -> Say:
        """Return how the work on one board tells its steps; raises Interrupted once the user wants no
        more."""

        def say(step: str, detail: str) -> None:
            if self.interrupted.is_set():
                raise Interrupted(f"{target.port}: interrupted before `{step}`")
            self.show(target, step, detail)

        return say

    def show(self, target: DeployTarget, step: str, detail: str) -> None:
        """Put a step on show."""
        name = label(target)
        with self._lock:
            _, before, _ = self._rows[name]
            self._rows[name] = (target.port, step, detail)
            if self._live is None and step != before:
                self._console.print(
                    f"{name}: {step} {detail}".rstrip(), markup=False, highlight=False, soft_wrap=True
                )

    def _table(self) -> Table:
        table = Table("board", "port", "step", "", box=None)
        with self._lock:
            for name, (port, step, detail) in self._rows.items():
                style = {"done": "green", "failed": "red"}.get(step, "")
                table.add_row(name, port, step, detail, style=style)
        return table


def label(target: DeployTarget) -> str:
    """Return what a board is called in tables."""
    return target.name or target.port


def for_all(
    targets: Sequence[DeployTarget], progress: Progress, work: Callable[[DeployTarget, Say], Result]
) -> list[tuple[DeployTarget, Result | BoardError]]:
    """Do `work` on all boards side by side; each ends with its result or its error."""

    def one(target: DeployTarget) -> Result | BoardError:
        try:
            result = work(target, progress.of(target))
        except BoardError as error:
            progress.show(target, "failed", "")
            return error
        progress.show(target, "done", str(getattr(result, "version", "")))
        return result

    with progress, ThreadPoolExecutor(min(_AT_ONCE, max(1, len(targets))), "board") as pool:
        running = [pool.submit(one, target) for target in targets]
        try:
            return [(target, _patiently(future)) for target, future in zip(targets, running, strict=True)]
        except KeyboardInterrupt:
            progress.interrupted.set()  # each board is left at its next step, at its old or its new version
            return [(target, future.result()) for target, future in zip(targets, running, strict=True)]


def _patiently(future: Future[Any]) -> Any:
    while True:
        try:
            return future.result(timeout=0.2)  # a wait without end could not be interrupted everywhere
        except TimeoutError:
            if future.done():
                raise


def status_of(results: Sequence[tuple[DeployTarget, object]]) -> int:
    """Return the exit status of it all: that a board failed weighs most."""
    statuses = {result.status for _, result in results if isinstance(result, BoardError)}
    return FAILED if FAILED in statuses else max(statuses, default=OK)
