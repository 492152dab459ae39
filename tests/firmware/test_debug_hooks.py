"""A board that a testbed may ask for faults: it works as any other, and obeys."""

from __future__ import annotations

import asyncio

from .conftest import Rig


def test_a_board_with_hooks_works_and_obeys(rig: Rig) -> None:
    async def go() -> None:
        async with rig:
            broker, heard, name = await rig.on_raw_broker(
                settings={"DEBUG_HOOKS": True, "MQTT_KEEPALIVE": 20}
            )
            session = await broker.session()
            session.publish(name, {"id": "work"}, 1)
            await broker.until(lambda: session.published("results"))
            session.publish(name, {"task_info": {"command": "memory"}}, 2)
            await heard.line("memory ")
            session.publish(name, {"id": "more"}, 3)
            await broker.until(lambda: len(session.published("results")) == 2)
            assert not session.closed
            assert len(broker.sessions) == 1

    asyncio.run(go())
