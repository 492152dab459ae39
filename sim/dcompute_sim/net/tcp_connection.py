"""What both endpoints of a TCP connection share, and what TCP asks of the world around it.

An endpoint (`tcp.py`) knows what it has sent and received. What lies between the two, and ends with both, is
the connection's: who they are, what crosses at present and which links have a say in it, and what the
observer was told. The observer is told of the end once, by whoever comes to know first.

Whether something crosses is found out when a host or a link changes (`refresh`), not for each segment: a link
changes a few times in a run, and segments are what a run is made of. Endpoints keep the answer (`path_up`,
`slow_links`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from simpy import Environment

from dcompute_sim.net.clock import Clock
from dcompute_sim.net.link import Link, State
from dcompute_sim.net.observer import How, Side, WireObserver
from dcompute_sim.net.profile import TcpProfile

# States of an endpoint, as a program and its kernel know them.
CONNECTING: Final = 0  # client: SYN sent; server: no SYN arrived
OPEN: Final = 1
CLOSING: Final = 2  # the program has closed; the kernel still delivers bytes and FIN
GONE: Final = 3  # the host knows nothing of it (any more)
SYN_RECEIVED: Final = 4  # server: the SYN is answered, the program not yet told


class End(Protocol):
    """One side of a connection, as the connection and its host's person know it."""

    connection: TcpConnection
    host: Kernel
    port: int
    side: Side
    state: int
    path_up: bool
    slow_links: tuple[Link, ...]
    spoke_at_s: float

    @property
    def peer(self) -> End: ...

    def watch(self) -> None: ...
    def probe(self) -> None: ...
    def unwatch(self) -> None: ...
    def close(self) -> None: ...
    def detach(self) -> None: ...
    def vanish(self) -> None: ...
    def reset_by_network(self) -> None: ...


class Tap(Protocol):
    """Sees every segment when it leaves its sender, and every change of a link."""

    def segment(self, sender: End, flags: str, seq: int, ack: int, payload: bytes, lost: bool) -> None:
        """Show a segment. `flags`: of S, A, P, F, R. `seq` and `ack` count from 0, the SYN. `lost`: known to
        go nowhere."""

    def link(self, host: Kernel, state: State) -> None: ...


class Medium(Protocol):
    """What all connections of a run share."""

    env: Environment
    clock: Clock
    tap: Tap | None

    @property
    def connections(self) -> Iterator[int]:
        """Numbers those that are accepted."""


class Opening(Protocol):
    """The handshake of a connection that is not accepted yet."""

    def accepted(self) -> None: ...

    def unanswered(self) -> None:
        """Take note that its third part is lost."""


class Acceptor(Protocol):
    """Who listens on a port."""

    full: bool

    def accept(self, end: End) -> None: ...


class Kernel(Protocol):
    """The host of an endpoint."""

    name: str
    index: int
    tcp: TcpProfile
    powered: bool
    link: Link

    @property
    def address(self) -> str: ...

    @property
    def network(self) -> Medium: ...

    @property
    def connections(self) -> dict[TcpConnection, None]: ...

    def listener(self, port: int) -> Acceptor | None: ...


class TcpConnection:
    """What both endpoints share: who they are, and what the observer was told."""

    __slots__ = (
        "_reported",
        "clean",
        "client",
        "forgotten",
        "key",
        "name",
        "network",
        "number",
        "observer",
        "opening",
        "server",
    )

    client: End
    server: End

    def __init__(self, network: Medium, key: int, name: str, observer: WireObserver) -> None:
        self.network = network
        self.observer = observer
        self.key = key  # counts attempts
        self.name = name
        self.number = 0  # counts accepted connections, as the observer is told; 0 before
        self.forgotten = False  # nothing that is sent on it arrives any more
        self.clean = True  # nothing on the way is silent, lossy or narrow
        self.opening: Opening | None = None
        self._reported = False

    def opened(self) -> None:
        opening, self.opening = self.opening, None
        if opening is not None:
            opening.accepted()
        self.number = next(self.network.connections)
        self.observer.opened(self.name, self.number)

    def report(self, how: How, by: Side) -> None:
        """Tell the observer, once, how the connection ended."""
        if self.number and not self._reported:
            self._reported = True
            quiet_s = self.network.env.now - self.client.spoke_at_s
            self.observer.closed(self.name, self.number, how, by, quiet_s)

    def watch(self) -> None:
        """Keep what is sent from now on until it is acknowledged."""
        self.client.watch()
        self.server.watch()

    def refresh(self) -> None:
        """Find out anew what crosses, and which links have a say in it: a host or link changed."""
        client, server = self.client, self.server
        links = (client.host.link, server.host.link)
        up = links[0].is_up and links[1].is_up and not self.forgotten
        slow_links = tuple(link for link in links if not link.ideal)
        powered = client.host.powered and server.host.powered
        self.clean = up and powered and not any(link.unsteady for link in slow_links)
        probes = client.host.tcp.probes and server.host.tcp.probes
        for end in (client, server):
            end.path_up = up and end.peer.host.powered
            end.slow_links = slow_links if end is client else slow_links[::-1]
            if self.clean:
                end.unwatch()
                continue
            end.watch()
            if probes:
                end.probe()

    def release(self) -> None:
        """Forget a connection both ends of which are gone."""
        if self.client.state == GONE and self.server.state == GONE:
            self.client.host.connections.pop(self, None)
            self.server.host.connections.pop(self, None)
