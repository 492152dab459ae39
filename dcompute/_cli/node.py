"""What `dcompute node` does."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal, cast

from dcompute._cli.metrics_option import metrics_of
from dcompute.functions import Functions
from dcompute.node_transport import ComputeNodeTransport
from dcompute.worker import Handler, Worker, load_handler

_CREDIT_EACH = 4  # of one executor, for each task at a time: the next ones are there when one is done


@dataclass(frozen=True)
class NodeWork:
    """What a node works with, and how."""

    handler: str
    functions: list[str]
    concurrency: int
    isolation: str
    time_limit_s: float | None
    drain_s: float
    metrics: str = ""

    def load(self) -> tuple[Handler, dict[str, object]]:
        """Return the handler, and what the node announces of it. ValueError if there is none."""
        if bool(self.handler) == bool(self.functions):
            raise ValueError("say what the node works with: --handler, or --functions as often as need be")
        if self.handler:
            return load_handler(self.handler), {}
        functions = Functions(self.functions)
        return functions, {"functions": functions.names()}


def run(
    work: NodeWork, node_id: str | None, settings: Mapping[str, Any], say: Callable[[str], object]
) -> int:
    """Work until a signal comes; returns the exit status. ValueError for invalid settings."""
    handler, announced = work.load()
    node = ComputeNodeTransport(
        node_id=node_id,
        capabilities=announced | {"concurrency": work.concurrency},
        credit=max(16, _CREDIT_EACH * work.concurrency),
        install_signal_handlers=False,
        **settings,
    )
    with metrics_of(work.metrics, node):
        return _work_at(node, work, handler, say)


def _work_at(
    node: ComputeNodeTransport, work: NodeWork, handler: Handler, say: Callable[[str], object]
) -> int:
    isolation = cast(Literal["thread", "process"], work.isolation)
    ended_by = 0
    try:
        if node.start():
            say(f"node {node.node_id} is ready at {node.broker_host}:{node.broker_port}")
        worker = Worker(
            node, handler, concurrency=work.concurrency, isolation=isolation, time_limit_s=work.time_limit_s
        )

        def leave(signum: int, _frame: FrameType | None) -> None:
            nonlocal ended_by
            ended_by = 128 + signum
            worker.interrupt()

        signal.signal(signal.SIGTERM, leave)
        worker.run()
        worker.drain(work.drain_s)
    finally:
        node.stop()
        say(f"node {node.node_id} is offline")
    return ended_by
