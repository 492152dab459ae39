"""The testbed tells when it was late itself: its loop had no turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from dcompute_sim import trace as t
from dcompute_sim.engines.real import RealEngine


def test_a_loop_that_has_no_turn_is_told_of() -> None:
    trace = t.Trace()

    async def run() -> None:
        broker: Any = SimpleNamespace(name="none", granularity_s=0.0)
        engine = RealEngine(trace, 1, broker, {})

        def process() -> Iterator[Any]:
            yield engine.env.timeout(0.15)
            time.sleep(0.5)  # whatever keeps this thread from its work
            yield engine.env.timeout(0.7)

        await engine.run(process)  # type: ignore[arg-type]

    asyncio.run(run())
    lagged = [event for event in trace if isinstance(event, t.LoopLagged)]
    assert 300_000 < max(event.lag_us for event in lagged) < 5_000_000
