"""What the tests of our own brokers share: a broker served in the test's own event loop, and certificates."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.brokers.conformance.broker_under_test import BrokerUnderTest
from dcompute_sim.brokers.real_broker import BrokerSecurity
from dcompute_sim.brokers.serve import broker_of

from ..conftest import Authority

Serving = Callable[..., AbstractAsyncContextManager[BrokerUnderTest]]

_numbers = itertools.count()


@asynccontextmanager
async def _serving(
    kind: str, *, security: BrokerSecurity | None = None, state: Path | None = None
) -> AsyncIterator[BrokerUnderTest]:
    listening: asyncio.Future[BrokerUnderTest] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()

    def on_listening(host: str, port: int) -> None:
        listening.set_result(BrokerUnderTest(host, port, token=f"t{next(_numbers)}"))

    serve = broker_of(kind)(
        "127.0.0.1",
        0,
        security=security or BrokerSecurity(),
        state_file=state,
        on_listening=on_listening,
        stop=stop,
    )
    broker: asyncio.Future[None] = asyncio.ensure_future(serve)
    waiting: list[asyncio.Future[Any]] = [broker, listening]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if broker.done():
        broker.result()
    try:
        yield listening.result()
    finally:
        stop.set()
        await broker


@pytest.fixture
def serving() -> Serving:
    """`async with serving(kind, security=..., state=...) as target`: one of our brokers, in this loop."""
    return _serving


@pytest.fixture
def authority(tmp_path: Path, new_authority: Callable[..., Authority]) -> Callable[[str], Any]:
    """`authority(name)`: a new certificate authority; its `file`, and `issue(name)` -> (certificate, key)."""
    return lambda name: new_authority(tmp_path, name)


@pytest.fixture
def self_signed(authority: Callable[[str], Any]) -> Any:
    """Certificate and key of a broker."""
    return authority("authority").issue("broker")
