"""amqtt as it comes, with its own listener: known to be faulty: scenarios must turn red on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from amqtt.broker import Broker
from amqtt.errors import BrokerError as AmqttError

from dcompute_sim.brokers import tls
from dcompute_sim.brokers.embedded import auth
from dcompute_sim.brokers.real_broker import BrokerError, BrokerSecurity

_SHUTDOWN_TIMEOUT_S = 0.5


async def serve(
    host: str,
    port: int,
    *,
    security: BrokerSecurity,
    state_file: Path | None,
    on_listening: Callable[[str, int], None],
    stop: asyncio.Event,
) -> None:
    """Serve until `stop`. It keeps nothing over a restart and cannot insist on client certificates."""
    if state_file is not None:
        raise BrokerError("plain amqtt keeps nothing over a restart: start it without a state file")
    listener: dict[str, object] = {"type": "tcp", "bind": f"{host}:{port}"}
    context = tls.server_context(security)  # amqtt makes its own, but does not say which file is unusable
    if security.client_ca is not None:
        raise BrokerError("plain amqtt lets clients in without a certificate: do not give it a client CA")
    if context is not None:
        listener |= {"ssl": True, "certfile": str(security.certificate), "keyfile": str(security.key)}
    broker = Broker({"listeners": {"default": listener}, "plugins": auth.plugin(security)})
    try:
        await broker.start()
    except AmqttError as error:
        # amqtt wraps what really happened twice over
        raise (error.__cause__ if isinstance(error.__cause__, OSError) else error) from None
    try:
        on_listening(*broker._servers["default"].instance.sockets[0].getsockname()[:2])
        await stop.wait()
    finally:
        # One more fault: with clients still connected its shutdown may wait for ever.
        with suppress(TimeoutError):
            await asyncio.wait_for(broker.shutdown(), _SHUTDOWN_TIMEOUT_S)
