"""Runs on a broker that somebody else runs: nothing old is read, nothing is left, twice in a row."""

from __future__ import annotations

import asyncio

from dcompute_sim import trace as t
from dcompute_sim.brokers.conformance.broker_under_test import BrokerUnderTest
from dcompute_sim.brokers.conformance.client import connect
from dcompute_sim.brokers.mosquitto import MosquittoBroker

from .conftest import Run

KEYS = {
    "duration": "4s",
    "fleet": {"py": {"count": 3, "keepalive": "60s"}},
    "faults": [{"kind": "crash", "at": "1s"}],
    "expect": ["no_false_deaths", "dead_within", "retained_consistent"],
}


async def _retained(target: BrokerUnderTest) -> list[str]:
    late = await connect(target, "late")
    await late.subscribe("#", qos=0)
    await late.ping()
    await late.disconnect()
    return [message.topic for message in late.messages]


def test_a_second_run_finds_nothing_of_the_first(run: Run) -> None:
    """It failed on the first one's retained `dead`. With a namespace and without, side by side."""

    async def both(namespace: str) -> None:
        broker = MosquittoBroker()
        await broker.start()
        try:
            target = BrokerUnderTest(broker.host, broker.port, "there")
            neighbour = await connect(target, "neighbour")
            for topic in ("somebody/status", "results"):
                await neighbour.publish(topic, b'{"node_id": "somebody"}', qos=1, retain=True)
            prefix = f"{namespace}/" if namespace else ""
            await neighbour.publish(
                f"{prefix}py-1/status", b'{"node_id": "py-1", "status": "dead"}', qos=1, retain=True
            )
            url = f"mqtt://{broker.host}:{broker.port}"
            for _ in range(2):
                keys = KEYS | {"namespace": namespace}
                outcome = await asyncio.to_thread(run, keys, time="real", broker=url)
                assert outcome.verdict.exit_status == 0, outcome.verdict
                told = [event.text for event in outcome.trace if isinstance(event, t.LogLine)]
                assert any("cleared" in text for text in told)
            left = set(await _retained(target))
            assert {"somebody/status", "results"} <= left
            # In a namespace of its own a run does not touch another's node of the same name.
            assert left - {"somebody/status", "results"} == (set() if namespace else {"py-1/status"})
            await neighbour.disconnect()
        finally:
            await broker.stop()

    async def side_by_side() -> None:
        async with asyncio.TaskGroup() as group:
            for namespace in ("", "plant/7"):
                group.create_task(both(namespace))

    asyncio.run(side_by_side())
