"""The model broker on a TCP or TLS port: asyncio carries its bytes, tells the time and bounds what is held.

A client that reads too slowly costs nobody else anything: past `CONGESTED_BYTES` of unsent data it gets no
QoS 0 messages until it has caught up, past `HOPELESS_BYTES` it is disconnected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dcompute_sim.brokers import passwords, tls
from dcompute_sim.brokers.access import AccessRules
from dcompute_sim.brokers.model.broker import Broker
from dcompute_sim.brokers.model.broker_config import BrokerConfig, ReturnCode
from dcompute_sim.brokers.model.session import Connection
from dcompute_sim.brokers.model.snapshot import SnapshotError
from dcompute_sim.brokers.real_broker import BrokerError, BrokerSecurity
from dcompute_sim.net.sockets import OWN_BUFFER_BYTES
from dcompute_sim.whole_file import write_whole

_BACKLOG = 4096  # a whole fleet connects at once
_MAX_PACKET_BYTES = 16 << 20

CONGESTED_BYTES = OWN_BUFFER_BYTES
"""Unsent bytes past which a client gets no messages of QoS 0."""

HOPELESS_BYTES = 64 << 20
"""Unsent bytes past which a client is disconnected."""

CLOSE_GRACE_S = 2.0
"""How long a closed connection has for its unsent bytes, and TLS for its goodbye."""


async def serve(
    host: str,
    port: int,
    *,
    security: BrokerSecurity,
    state_file: Path | None,
    on_listening: Callable[[str, int], None],
    stop: asyncio.Event,
) -> None:
    """Serve until `stop`; then publish the wills, close every connection, and save the memory."""
    context = tls.server_context(security)
    config = BrokerConfig(max_packet_bytes=_MAX_PACKET_BYTES)
    if security.password_file is not None:
        gate = _Gate(security.password_file)
        config = replace(config, authenticate=gate.authenticate, authorize=gate.authorize)
    server = _TcpServer(_load(state_file, config))
    listener = await server.loop.create_server(
        lambda: _Client(server), host, port, ssl=context, backlog=_BACKLOG
    )
    try:
        on_listening(*listener.sockets[0].getsockname()[:2])
        await stop.wait()
    finally:
        listener.close()
        await server.stop()
    if state_file is not None:
        write_whole(state_file, server.broker.snapshot())


def protocol_factory(broker: Broker) -> Callable[[], asyncio.Protocol]:
    """Return what serves each connection of a listener in the running loop; nobody saves this broker."""
    server = _TcpServer(broker)
    return lambda: _Client(server)


def _load(state_file: Path | None, config: BrokerConfig) -> Broker:
    broker = Broker(config)
    if state_file is not None and state_file.exists():
        try:
            broker.restore(state_file.read_bytes())
        except SnapshotError as error:
            raise BrokerError(f"broker memory {state_file}: {error}; remove it to start afresh") from None
    return broker


class _Gate:
    """Who is in the password file may connect and nobody else, and do what its role lists."""

    def __init__(self, password_file: Path) -> None:
        try:
            self._users = passwords.load(password_file)
            self._rules = AccessRules(passwords.load_grants(password_file).values())
        except passwords.PasswordFileError as error:
            raise BrokerError(f"password file {error}") from None
        # Checked for unknown names: they must not be told from known ones by the time it takes.
        self._nobody = passwords.hash_password("")
        self._user_of: dict[str, str] = {}  # by client id

    def authenticate(self, client_id: str, user: str | None, password: bytes | None) -> ReturnCode:
        stored = self._users.get(user) if user is not None else None
        fits = passwords.verify(password or b"", stored or self._nobody)
        if not fits or stored is None or user is None or not self._rules.may_connect(user, client_id):
            return ReturnCode.NOT_AUTHORIZED
        self._user_of[client_id] = user
        return ReturnCode.ACCEPTED

    def authorize(self, client_id: str, topic: str, publishes: bool) -> bool:
        rights = self._rules.of(self._user_of.get(client_id, ""))
        return rights.may_publish(topic) if publishes else rights.may_subscribe(topic)


class _TcpServer:
    """What all connections of one server share: the broker, its timer, the writes of one loop iteration."""

    def __init__(self, broker: Broker) -> None:
        self.loop = asyncio.get_running_loop()
        self.broker = broker
        self.clients: dict[_Client, None] = {}
        self._unsent: list[_Client] = []
        self._timer: asyncio.TimerHandle | None = None

    def arm(self) -> None:
        """See to it that the broker is called at its next deadline."""
        deadline_s = self.broker.next_deadline_s()
        timer = self._timer
        if deadline_s is None or (timer is not None and timer.when() <= deadline_s):
            return
        if timer is not None:
            timer.cancel()
        self._timer = self.loop.call_at(deadline_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.broker.tick(self.loop.time())
        self.arm()

    def flush_soon(self, client: _Client) -> None:
        """Send what `client` was written in one piece, after all that this loop iteration has to do."""
        if not self._unsent:
            self.loop.call_soon(self._flush)
        self._unsent.append(client)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        for client in unsent:
            client.flush()

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.broker.stop()
        self._flush()
        for client in list(self.clients):  # those without a session
            client.close()
        while self.clients:
            await asyncio.wait([client.ended for client in self.clients])


class _Client(asyncio.Protocol):
    """One TCP connection: asyncio's protocol on one side, the broker's Port on the other."""

    _transport: asyncio.Transport
    _connection: Connection

    def __init__(self, server: _TcpServer) -> None:
        self._server = server
        self._broker = server.broker
        self._now = server.loop.time
        self._out: list[bytes] = []
        self._congested = False
        self._closing = False
        self._grace: asyncio.TimerHandle | None = None  # ends a closed connection whose peer does not answer
        self.ended: asyncio.Future[None] = server.loop.create_future()

    # --- called by asyncio ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=CONGESTED_BYTES)
        self._server.clients[self] = None
        self._connection = self._broker.opened(self, self._now())
        self._server.arm()

    def data_received(self, data: bytes) -> None:
        self._broker.received(self._connection, data, self._now())
        self._server.arm()

    def eof_received(self) -> None:
        self._broker.lost(self._connection, self._now())

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        if self._grace is not None:
            self._grace.cancel()
        self._broker.lost(self._connection, self._now())
        self._server.clients.pop(self, None)
        self.ended.set_result(None)

    def pause_writing(self) -> None:
        self._congested = True
        self._broker.congested(self._connection, True)

    def resume_writing(self) -> None:
        self._congested = False
        self._broker.congested(self._connection, False)

    # --- called by the broker ---------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if not self._out:
            self._server.flush_soon(self)
        self._out.append(data)

    def close(self) -> None:
        if self._closing:
            return
        self.flush()
        self._closing = True
        self._transport.close()
        self._grace = self._server.loop.call_later(CLOSE_GRACE_S, self._transport.abort)

    # --- called by the server ---------------------------------------------------------------------------

    def flush(self) -> None:
        out = self._out
        if not out:
            return
        self._out = []
        if self._closing:
            return
        self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        if self._congested and self._transport.get_write_buffer_size() > HOPELESS_BYTES:
            self._transport.abort()
