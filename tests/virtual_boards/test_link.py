"""The firmware on a virtual board joins a real broker over the board's own link, and what befalls that."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.brokers.broker_process import BrokerProcess
from dcompute_sim.brokers.conformance import wire
from dcompute_sim.brokers.conformance.client import Client
from dcompute_sim.fwbuild.firmware_files import layout, product
from dcompute_sim.micropython.emulated_config import emulated_config
from dcompute_sim.virtual_boards.virtual_board import VirtualBoard

from ..conftest import PATIENCE_S
from .conftest import Desk, MakeDesk

KEEPALIVE_S = 1
Join = Callable[[str], AbstractAsyncContextManager[tuple[Desk, "Watch"]]]


class Watch:
    """What a client that subscribed to everything has heard of one node."""

    def __init__(self, client: Client, node_id: str) -> None:
        self._client = client
        self._node_id = node_id

    def statuses(self) -> list[tuple[str, str]]:
        """Status and incarnation, in the order of arrival."""
        heard = [json.loads(message.payload) for message in self._client.on(f"{self._node_id}/status")]
        return [(str(status["status"]), str(status["inc"])) for status in heard]

    async def until(self, status: str, new: str = "") -> str:
        """The incarnation of the first such status, once it is there; `new`: of another one than this."""

        def found() -> str | None:
            return next((inc for name, inc in self.statuses() if name == status and inc != new), None)

        return await self._client.until(found, status, PATIENCE_S)

    async def answers(self, task_id: str) -> Any:
        """What the node makes of a task."""
        task = {"id": task_id, "function": "add", "args": [1, 2], "priority": 5}
        await self._client.publish(self._node_id, json.dumps(task).encode(), qos=1)

        def found() -> Any:
            results = [json.loads(message.payload) for message in self._client.on("results")]
            return next((r["result"]["output"] for r in results if r.get("task_id") == task_id), None)

        return await self._client.until(found, f"the result of {task_id}", PATIENCE_S)


@pytest.fixture
def joined(desk: MakeDesk, tmp_path: Path) -> Join:
    """`async with joined(kind) as (d, watch)`: our firmware on a board that has booted, and a real broker."""

    @asynccontextmanager
    async def make(kind: str) -> AsyncIterator[tuple[Desk, Watch]]:
        broker = BrokerProcess(kind)
        await broker.start()
        config = emulated_config(broker.host, broker.port, MQTT_KEEPALIVE=KEEPALIVE_S)
        files = {name: source.read_text() for name, source in layout([product()]).items()}
        files["config.py"] = "".join(f"{name} = {value!r}\n" for name, value in config.items())
        reader, writer = await asyncio.open_connection(broker.host, broker.port)
        client = Client("watch", reader, writer)
        await client.log_in(wire.connect("watch"))
        await client.subscribe("#")
        try:
            async with desk(files, broker=(broker.host, broker.port)) as d:
                yield d, Watch(client, d.board.node_id)
        finally:
            await client.fin()
            await broker.stop()

    return make


@pytest.mark.parametrize("kind", ["embedded", "model"])
def test_main_joins_a_broker_at_power_on_and_after_every_reset(joined: Join, kind: str) -> None:
    async def go() -> None:
        async with joined(kind) as (d, watch):
            first = await watch.until("ready")
            assert await watch.answers("one") == 3

            await d.mpremote("reset")
            await watch.until("ready", new=first)
            assert await watch.answers("two") == 3

    asyncio.run(go())


def test_link_down_is_a_death_and_link_up_a_return(joined: Join) -> None:
    async def go() -> None:
        async with joined("model") as (d, watch):
            first = await watch.until("ready")
            board: VirtualBoard = d.board
            assert board.link is not None
            board.link.down()
            assert await watch.until("dead") == first
            board.link.up()
            await watch.until("ready", new=first)
            assert await watch.answers("back") == 3

    asyncio.run(go())


@pytest.mark.parametrize("how", ["button", "panic"])
def test_a_reset_is_silence(joined: Join, how: str) -> None:
    """Only the keepalive tells of it, where the board does not come back; the kernel of its process would."""

    async def go() -> None:
        async with joined("model") as (d, watch):
            first = await watch.until("ready")
            d.board.radio(password="another")
            began_s = time.monotonic()
            if how == "button":
                d.board.reset()
            else:
                os.kill(d.board.pid, signal.SIGKILL)
            assert await watch.until("dead") == first
            assert time.monotonic() - began_s > KEEPALIVE_S

    asyncio.run(go())
