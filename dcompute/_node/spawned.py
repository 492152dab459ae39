"""Processes that only SIGKILL ends, for a pool that knows SIGTERM; in a module of its own, as what is spawned
has to be importable, and a node whose handler runs on a thread has no use for multiprocessing."""

from __future__ import annotations

from multiprocessing.context import SpawnContext, SpawnProcess


class Spawned(SpawnProcess):
    """A process that makes nothing of SIGTERM, and so is ended by SIGKILL."""

    def terminate(self) -> None:
        self.kill()


def context() -> SpawnContext:
    """Return what starts them."""
    made = SpawnContext()
    made.Process = Spawned  # type: ignore[misc]
    return made


__all__ = ["Spawned", "context"]
