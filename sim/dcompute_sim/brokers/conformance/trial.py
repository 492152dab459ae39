"""Where one property is tested: clients and topics of its own, and everything it left behind cleared away."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from dcompute_sim.brokers.conformance.broker_under_test import BrokerUnderTest
from dcompute_sim.brokers.conformance.client import WAIT_S, Client, connect, dial
from dcompute_sim.brokers.conformance.result import Violation
from dcompute_sim.brokers.conformance.wire import ClientWill

_CLEANING_TIMEOUT_S = 5.0


class Trial:
    def __init__(self, target: BrokerUnderTest, property_name: str) -> None:
        self.target = target
        self._property_name = property_name
        self._clients: list[Client] = []
        self._kept: dict[str, None] = {}  # names of clients whose session the broker keeps
        self._retained: dict[str, None] = {}  # topics

    def topic(self, *levels: str) -> str:
        return "/".join((self.target.prefix, self._property_name, *levels))

    def retained_topic(self, *levels: str) -> str:
        """Return a topic whose retained message is removed at the end."""
        topic = self.topic(*levels)
        self._retained[topic] = None
        return topic

    async def client(
        self,
        name: str,
        *,
        clean: bool = True,
        keepalive_s: int = 60,
        will: ClientWill | None = None,
        within_s: float = WAIT_S,
    ) -> Client:
        if not clean:
            self._kept[name] = None
        client = await connect(
            self.target,
            self._id(name),
            clean=clean,
            keepalive_s=keepalive_s,
            will=will,
            within_s=within_s,
        )
        self._clients.append(client)
        return client

    async def dialled(self, name: str) -> Client:
        """Return a connection that has not logged in."""
        client = await dial(self.target, self._id(name))
        self._clients.append(client)
        return client

    async def subscriber(self, name: str, *filters: str, qos: int = 1) -> Client:
        client = await self.client(name)
        await client.subscribe(*filters, qos=qos)
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            async with asyncio.timeout(_CLEANING_TIMEOUT_S):
                await self._clean()
        except (OSError, Violation):
            pass  # the property has been judged; a broker that broke it may not be fit for cleaning either

    async def _clean(self) -> None:
        await asyncio.gather(*(client.disconnect() for client in self._clients))
        for name in self._kept:  # logging in with a clean session ends the kept one
            await (await connect(self.target, self._id(name))).disconnect()
        if self._retained:  # last: a will may have been retained just now
            cleaner = await connect(self.target, self._id("cleaner"))
            ids = [cleaner.start_publish(topic, b"", qos=1, retain=True) for topic in self._retained]
            for packet_id in ids:
                await cleaner.finish(packet_id, qos=1)
            await cleaner.disconnect()

    def _id(self, name: str) -> str:
        return f"{self._property_name}-{name}"
