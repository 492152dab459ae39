"""The virtual network: hosts with a link each, connection attempts, and what a person can do to a host.

    network = Network(env, seed=1, latency_s=0.005)
    network.host("broker").listen(1883, accepted)          # accepted(stream): set its on_data and on_closed
    socket = network.host("node-1").connect("broker", 1883, done)   # done(None) or done(error), an RTT later

Everything random is drawn from the seed and the name of the link that draws it, so another host, or another
fault, does not disturb what the others see.
"""

from __future__ import annotations

import errno
import itertools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from simpy import Environment

from dcompute_sim.net import datagrams
from dcompute_sim.net.clock import Clock
from dcompute_sim.net.datagrams import OnDatagram
from dcompute_sim.net.handshake import Handshake
from dcompute_sim.net.link import Link
from dcompute_sim.net.observer import NullObserver, WireObserver
from dcompute_sim.net.profile import LINUX, TcpProfile
from dcompute_sim.net.resolver import resolve
from dcompute_sim.net.sockets import Socket, Stream
from dcompute_sim.net.tcp_connection import CONNECTING, GONE, OPEN, End, Tap, TcpConnection

_Client = TypeVar("_Client", Socket, Stream)
_FIRST_EPHEMERAL_PORT = 49_152
_EPHEMERAL_PORTS = 65_536 - _FIRST_EPHEMERAL_PORT
_PREFIX = "10.0."
_TO_ALL = "255.255.255.255"


class Network:
    """All hosts of a run.

    Args:
        env: the clock, in seconds.
        seed: of the run.
        latency_s, jitter_s, bytes_per_s: what a host's link does by default (`Host.slow` changes one).
        observer: told of connections and of what does not cross.
    """

    def __init__(
        self,
        env: Environment,
        seed: int | str = 0,
        latency_s: float = 0.0,
        jitter_s: float = 0.0,
        bytes_per_s: float | None = None,
        observer: WireObserver | None = None,
    ) -> None:
        self.env = env
        self.clock = Clock(env)
        self.seed = seed
        self.observer: WireObserver = observer or NullObserver()
        self.tap: Tap | None = None
        self.hosts: dict[str, Host] = {}
        self.connections = itertools.count(1)
        self._keys = itertools.count(1)
        self._default = (latency_s, jitter_s, bytes_per_s)

    def host(self, name: str, tcp: TcpProfile = LINUX, *, wired: bool = False) -> Host:
        """Return the host called `name`, made when it is first asked for; `wired`: its link is ideal."""
        host = self.hosts.get(name)
        if host is None:
            host = self.hosts[name] = Host(self, name, len(self.hosts) + 1, tcp)
            if not wired:
                host.link.configure(*self._default)
        return host

    def address_of(self, name: str) -> str | None:
        """Return what a name server says; None: there is no such host."""
        host = self._found(name)
        return None if host is None else host.address

    def at(self, address: str) -> Host:
        """Return the host of that name or address; a new one if there is none."""
        return self._found(address) or self.host(address)

    def _found(self, address: str) -> Host | None:
        host = self.hosts.get(address)
        if host is None and address.startswith(_PREFIX):
            host = next((host for host in self.hosts.values() if host.address == address), None)
        return host

    def next_key(self) -> int:
        """Number connection attempts from 1."""
        return next(self._keys)


class ListeningPort:
    """A program waiting for connections on a port."""

    def __init__(self, host: Host, port: int, on_accept: Callable[[Any], None]) -> None:
        self.host = host
        self.port = port
        self.on_accept = on_accept
        self.full = False
        """It has accepted no more than it may: lwIP then lets a SYN come again."""

    def accept(self, end: End) -> None:
        self.on_accept(end)

    def close(self) -> None:
        """Refuse attempts from now on; accepted connections stay."""
        if self.host.listeners.get(self.port) is self:
            others = self.host.listeners.items()
            self.host.listeners = {port: other for port, other in others if port != self.port}


_NO_LISTENERS: Mapping[int, ListeningPort] = {}


class Host:
    """A machine: a kernel with connections and listeners, and one link."""

    __slots__ = (
        "_ports_used",
        "connections",
        "datagram_ports",
        "index",
        "link",
        "listeners",
        "name",
        "network",
        "powered",
        "serves",
        "tcp",
    )

    def __init__(self, network: Network, name: str, index: int, tcp: TcpProfile) -> None:
        self.network = network
        self.name = name
        self.index = index  # from 1, in order of creation; a capture makes its address of it
        self.tcp = tcp
        self.powered = True
        self.link = Link(f"{network.seed}/link/{name}", self._link_changed)
        self.listeners: Mapping[int, ListeningPort] = (
            _NO_LISTENERS  # replaced, not changed: few hosts have any
        )
        self.connections: dict[TcpConnection, None] = {}
        self.datagram_ports: dict[int, OnDatagram] = {}
        self.serves: type[Stream] | type[Socket] = Stream  # what its programs' listeners get
        self._ports_used = 0

    @property
    def address(self) -> str:
        """In four numbers; a capture shows it, too."""
        return f"{_PREFIX}{self.index >> 8 & 0xFF}.{self.index & 0xFF}"

    # --- what programs do ---

    def listen(self, port: int, on_accept: Callable[[Stream], None]) -> ListeningPort:
        """Accept connections on `port`, each handed to `on_accept` when its handshake is complete."""
        if port in self.listeners:
            raise OSError(errno.EADDRINUSE, f"port {port} of host {self.name!r} is already listened on")
        listener = ListeningPort(self, port, on_accept)
        self.listeners = {**self.listeners, port: listener}
        return listener

    def connect(
        self, address: str, port: int, on_done: Callable[[OSError | None], None] | None = None
    ) -> Socket:
        """Begin to connect; `on_done(None)` when established, or `on_done(error)`: ConnectionRefusedError,
        TimeoutError, or OSError(ENETUNREACH) without a WLAN. Never called before this returns."""
        return self._connect(Socket, address, port, on_done)

    def connect_stream(
        self, address: str, port: int, on_done: Callable[[OSError | None], None] | None = None
    ) -> Stream:
        """Connect likewise, for a program that wants its bytes pushed."""
        return self._connect(Stream, address, port, on_done)

    def send_datagram(self, from_port: int, address: str, port: int, data: bytes) -> None:
        """Send it by UDP, to whoever is in `datagram_ports` there; to all hosts when the address ends in
        255."""
        if address == _TO_ALL or (address.startswith(_PREFIX) and address.endswith(".255")):
            receivers = [host for host in self.network.hosts.values() if host is not self]
        else:
            receivers = [self._host_at(address)]
        datagrams.send(self.network.clock, self, from_port, receivers, port, data)

    def resolve(self, name: str, done: Callable[[str | None], None]) -> None:
        """Ask for the address of a name: `done(address)`, or `done(None)` when there is none."""
        resolve(self.network.clock, self, lambda: self.network.address_of(name), done)

    def listener(self, port: int) -> ListeningPort | None:
        """Return the program that listens there."""
        return self.listeners.get(port)

    # --- what a person does ---

    @property
    def open_connections(self) -> int:
        """Connections that this host considers established."""
        return sum(1 for end in self._ends() if end.state == OPEN)

    @property
    def reached(self) -> int:
        """Those of them that the other side has accepted."""
        return sum(1 for end in self._ends() if end.state == OPEN and end.connection.number)

    def slow(
        self, latency_s: float, jitter_s: float = 0.0, bytes_per_s: float | None = None, loss: float = 0.0
    ) -> None:
        """Set what the link does to segments sent from now on."""
        for connection in self.connections:
            connection.watch()  # what was measured until now was of the link as it was
        self.link.configure(latency_s, jitter_s, bytes_per_s, loss)
        self._refresh()

    def crash(self) -> None:
        """Let the program die; the kernel lives on and closes what was its: FIN, or RST where bytes lay
        unread."""
        self.listeners = _NO_LISTENERS
        self.datagram_ports.clear()
        for end in self._ends():
            if end.state == OPEN or end.side == "node":
                end.close()

    def power_cut(self) -> None:
        """Lose everything here, silently; nothing answers until `power_on`."""
        self.listeners = _NO_LISTENERS
        self.datagram_ports.clear()
        self.powered = False
        for end in self._ends():
            if end.state == GONE or (end.state == CONNECTING and end.side == "broker"):
                continue
            end.connection.report("lost", end.side)
            end.detach()
            end.vanish()
        self._refresh()

    def power_on(self) -> None:
        """Let the kernel run again and answer: with RST to connections it lost."""
        self.powered = True
        self._refresh()

    def reset_connections(self) -> None:
        """Send RST to both sides of every connection, as a middlebox that lost its state would send."""
        for connection in list(self.connections):
            if connection.number:
                connection.report("rst", "node")
                connection.client.reset_by_network()
                connection.server.reset_by_network()

    def forget_connections(self) -> Callable[[], bool]:
        """Let a NAT forget all of them: what is sent on one vanishes, either way, RST included. What is
        returned tells, whenever it is called, whether a program here still holds on to one."""
        forgotten = [connection for connection in self.connections if connection.number]
        for connection in forgotten:
            connection.forgotten = True
            connection.refresh()
        return lambda: any(connection.client.state == OPEN for connection in forgotten)

    # --- inside ---

    def _ends(self) -> list[End]:
        both = [end for connection in self.connections for end in (connection.client, connection.server)]
        return [end for end in both if end.host.name == self.name]

    def _connect(
        self, kind: type[_Client], address: str, port: int, on_done: Callable[[OSError | None], None] | None
    ) -> _Client:
        network = self.network
        to = self._host_at(address)
        # The observer is told of what goes to a broker; a board's own server is none.
        observer = NullObserver() if to.serves is Socket else network.observer
        connection = TcpConnection(network, network.next_key(), self.name, observer)
        own_port = _FIRST_EPHEMERAL_PORT + self._ports_used % _EPHEMERAL_PORTS
        self._ports_used += 1
        client = connection.client = kind(connection, self, own_port, "node")
        server = connection.server = to.serves(connection, to, port, "broker")
        client.peer, server.peer = server, client
        client.on_done = on_done
        self.connections[connection] = None
        to.connections[connection] = None
        connection.refresh()
        Handshake(client, server).begin()
        return client

    def _host_at(self, address: str) -> Host:
        return self if address.startswith("127.") else self.network.at(address)

    def _link_changed(self) -> None:
        if self.network.tap is not None:
            self.network.tap.link(self, self.link.state)
        self._refresh()

    def _refresh(self) -> None:
        for connection in self.connections:
            connection.refresh()
