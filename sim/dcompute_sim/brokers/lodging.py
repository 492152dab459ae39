"""A run on a broker that is somebody else's: it reads nothing old there and leaves nothing behind.

A broker remembers what was retained. The second run of a scenario on the same broker found the `dead` of the
first one's nodes, and failed; and whoever looked at that broker later found nodes that never existed. So a
run has a namespace of its own there, cleared when it is over. Programs that know of no namespace (boards with
a config of their own, other people's firmware) stay where they are: what is retained of their nodes is
cleared before and after.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Collection

from dcompute.broker_url import BrokerUrl
from dcompute.parts import number_of
from dcompute.security import tls_context
from dcompute_sim.brokers.conformance.broker_under_test import BrokerUnderTest
from dcompute_sim.brokers.conformance.client import Client, RefusedByBroker, connect
from dcompute_sim.brokers.conformance.result import Violation
from dcompute_sim.brokers.real_broker import BrokerError

_SETTLE_S = 0.3  # without a message for so long, nothing more is retained
_SHARED = ("results", "initialisation")


class Lodging:
    """Where a run lives on the broker at `address`.

    Args:
        namespace: the scenario's own, if it names one.
        nodes: whose topics are the run's.
        bound: programs take part that know of no namespace but the scenario's.
    """

    def __init__(self, address: BrokerUrl, namespace: str, nodes: Collection[str], *, bound: bool) -> None:
        self._address = address
        self._nodes = frozenset(nodes)
        self._own = not bound and not namespace
        self.namespace = f"dcompute-run/{secrets.token_hex(4)}" if self._own else namespace

    @property
    def told(self) -> str:
        """What is done on that broker, in words."""
        if self._own:
            return f"here the run has a namespace of its own, {self.namespace}, cleared when it is over"
        return (
            f"what is retained of the run's {number_of(len(self._nodes), 'node')} is cleared "
            "before and after it: it "
            "has no namespace of its own here"
        )

    async def clear(self) -> int:
        """Remove what is retained; how many messages that was. BrokerError when the broker does not let
        us."""
        target = BrokerUnderTest(
            self._address.host,
            self._address.port,
            token=f"lodging-{secrets.token_hex(4)}",
            username=self._address.username,
            password=self._address.password,
            tls=tls_context(self._address.tls),
        )
        try:
            client = await connect(target, "clearing")
            found = await self._retained(client)
            ids = [client.start_publish(topic, b"", qos=1, retain=True) for topic in found]
            for packet_id in ids:
                await client.finish(packet_id, qos=1)
            await client.disconnect()
        except RefusedByBroker:
            return 0  # nobody of the run is let in either, and says so
        except (Violation, OSError) as error:
            raise BrokerError(f"{self._address}: what the run leaves cannot be cleared: {error}") from None
        return len(found)

    async def _retained(self, client: Client) -> list[str]:
        prefix = f"{self.namespace}/" if self.namespace else ""
        filters = [f"{prefix}#"] if self._own else [f"{prefix}{node}/#" for node in sorted(self._nodes)]
        filters += [] if self._own else [prefix + topic for topic in _SHARED]
        for start in range(0, len(filters), 100):
            await client.subscribe(*filters[start : start + 100], qos=0)
        before = -1
        while len(client.messages) != before:
            before = len(client.messages)
            await asyncio.sleep(_SETTLE_S)
        shared = {prefix + topic for topic in _SHARED}
        return [
            message.topic
            for message in client.messages
            if message.retain and (self._own or message.topic not in shared or self._is_ours(message.payload))
        ]

    def _is_ours(self, payload: bytes) -> bool:
        try:
            message = json.loads(payload)
        except ValueError:
            return False
        return isinstance(message, dict) and message.get("node_id") in self._nodes
