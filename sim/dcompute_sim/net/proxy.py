"""The TCP fault proxy: one node's Wi-Fi link in real time, between its socket and the broker's.

While the link is down nothing crosses, in either direction: neither bytes nor FIN, nor RST, nor a new
connection. What was held is delivered, in order, once the link is up again, as TCP's retransmissions would
deliver it. `relay.py` is how one connection crosses.

A link can also be slow, narrow and lossy. The kernels at both ends of a proxy see none of that, so the proxy
delays as their TCP would: what is lost arrives a retransmission timeout later [RFC 6298, from the round trip
that the link is set to], one more when that is lost as well, for the first is a probe [RFC 8985], from then
on twice as long each time, and what was sent behind it waits. Coarser than `net/tcp.py`: a gap is never
filled before the timer, and a lost acknowledgement costs nothing.

A chip that resets, sleeps or loses power ends no connection: it is not there any more. Where a process stands
for one (`chip`), the kernel that cleans up after it sends FIN or RST all the same, so an end is held until it
is known whether the process lives.

Two things loopback cannot imitate. A connection attempt while the link is down hangs (it reaches the broker
when the link is up), but the node's own kernel already calls it connected: the proxy must accept it to own
it. And an attempt while the broker is stopped is seen by the node as accepted and then reset, not as refused.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator

from dcompute_sim.net.observer import ByteTap, Direction, NullObserver, WireObserver
from dcompute_sim.net.profile import LINUX
from dcompute_sim.net.relay import Pipe
from dcompute_sim.net.send_window import MSS

_GRACE_S = 0.05  # from a socket's end to the news that its process has ended: 4 ms on an idle machine


class FaultProxy:
    """A listening port that relays to `upstream`, and the faults of the link in between.

    All methods belong to the thread of the running loop; `start` and `close` to one loop.

    Args:
        name: the node, as the observer is told.
        upstream: the broker's address.
        rng: draws the jitter of a slow link; by default seeded from the name.
        connections: numbers the connections; share one between the proxies of a run.
        host: address of this machine to listen on.
    """

    def __init__(
        self,
        name: str,
        upstream: tuple[str, int],
        observer: WireObserver | None = None,
        *,
        rng: random.Random | None = None,
        connections: Iterator[int] | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.name = name
        self.host = host
        self.upstream = upstream
        self.observer: WireObserver = observer or NullObserver()
        self.tap: ByteTap | None = None
        self.is_up = True
        self.closed = False
        self.port = 0
        self.held_bytes = 0
        """Bytes that did not cross when they should have, since the start."""
        self.refused = 0
        """Connection attempts that did not reach the broker when they were made, since the start."""
        self.crossings = 0
        """Items that crossed with a delay, since the start."""
        self._connections = connections if connections is not None else itertools.count(1)
        self._rng = rng or random.Random(f"proxy/{name}")
        self._latency_s = 0.0
        self._jitter_s = 0.0
        self._bytes_per_s: float | None = None
        self._loss = 0.0
        self._busy_until_s = 0.0
        self._pipes: dict[Pipe, None] = {}
        self._server: asyncio.Server | None = None
        self.transparent = True
        """Up and not slowed: bytes need not be queued."""
        self.grace_s = 0.0
        self._is_gone: Callable[[], bool] = lambda: False

    @property
    def pipes(self) -> tuple[Pipe, ...]:
        """The connections it carries, also those whose other side is gone."""
        return tuple(self._pipes)

    @property
    def open_connections(self) -> int:
        """Connections of the node that exist now, whether or not they reached the broker."""
        return sum(1 for pipe in self._pipes if pipe.is_held)

    @property
    def reached(self) -> int:
        """Those of them that have reached the broker."""
        return sum(1 for pipe in self._pipes if pipe.conn and pipe.is_held)

    async def start(self) -> None:
        """Listen on a free port; `port` says which. OSError when `host` is no address of this machine."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Pipe(self, loop).node, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening, drop every connection, and wait until nothing is left running."""
        self.closed = True
        if self._server is not None:
            self._server.close()
        pipes = list(self._pipes)
        for pipe in pipes:
            pipe.drop()
        for pipe in pipes:
            await pipe.finished()
        if self._server is not None:
            await self._server.wait_closed()
            self._server = None

    def down(self) -> None:
        """Silence the link: from now on nothing crosses."""
        self.is_up = False
        self._refresh()
        for pipe in self._pipes:
            pipe.link_down()

    def up(self) -> None:
        """Let the link work again: held bytes, ends and connection attempts cross now."""
        self.is_up = True
        self._refresh()
        for pipe in list(self._pipes):
            pipe.link_up()

    def reset(self) -> None:
        """Send RST to both sides of every open connection, as a middlebox that lost its state would send."""
        for pipe in list(self._pipes):
            pipe.report("rst", "node")
            pipe.drop()

    def forget_connections(self) -> Callable[[], bool]:
        """Let a NAT forget all of them: what is sent on one vanishes, either way. What is returned tells,
        whenever it is called, whether the node still holds on to one.

        The kernels on either side of the proxy acknowledge what vanishes: nobody's send buffer fills up.
        """
        forgotten = [pipe for pipe in self._pipes if pipe.conn]
        for pipe in forgotten:
            pipe.forgotten = True
            pipe.node.out.clear()
            pipe.broker.out.clear()
        return lambda: any(pipe.is_held for pipe in forgotten)

    def tell(self, data: bytes) -> bool:
        """Say something to the node in the broker's place, at once, whatever the link is like; whether
        anybody was there to hear it. The caller knows that no packet is half sent."""
        pipes = [pipe for pipe in self._pipes if pipe.conn and not pipe.orphaned]
        for pipe in pipes[-1:]:
            transport = pipe.node.transport
            if transport is not None and not transport.is_closing():
                transport.write(data)
                return True
        return False

    def forget(self) -> None:
        """Let the node lose its power: its sockets are gone and the broker hears nothing of it.

        The broker's side stays open. After the next `up` (the node has booted) its kernel knows nothing of
        that connection, and answers what the broker sends on it, or sent meanwhile, with RST.
        """
        for pipe in list(self._pipes):
            pipe.forget()

    def chip(self, is_gone: Callable[[], bool]) -> None:
        """Take who connects here for a process that stands for a chip: `is_gone()` tells, a moment after one
        of its connections ended, whether that was because the chip stopped, which ends nothing."""
        self.grace_s, self._is_gone = _GRACE_S, is_gone

    def rebooted(self) -> None:
        """Give the node its power again: it answers what is sent on connections of before with RST."""
        if self.is_up:
            for pipe in list(self._pipes):
                if pipe.orphaned:
                    pipe.link_up()

    def set_delay(
        self, latency_s: float, jitter_s: float = 0.0, bytes_per_s: float | None = None, loss: float = 0.0
    ) -> None:
        """Make the link slow: what is sent from now on takes `latency_s` + up to `jitter_s` each way, both
        ways together at most `bytes_per_s`, and a share `loss` of it is lost and sent again; all zero and
        None make it fast again. Order is kept."""
        self._latency_s, self._jitter_s, self._bytes_per_s = latency_s, jitter_s, bytes_per_s
        self._loss = loss
        self._refresh()

    def _refresh(self) -> None:
        slow = self._latency_s > 0 or self._jitter_s > 0 or self._bytes_per_s is not None or self._loss > 0
        self.transparent = self.is_up and not slow

    # --- what a connection asks and tells (see relay.Link) -----------------------------------------------

    def joined(self, pipe: Pipe) -> None:
        self._pipes[pipe] = None

    def left(self, pipe: Pipe) -> None:
        self._pipes.pop(pipe, None)

    def number(self) -> int:
        return next(self._connections)

    def crossing(self, now_s: float, not_before_s: float, n_bytes: int) -> tuple[float, int]:
        """Return when `n_bytes` sent now arrive, not before what was sent earlier in the same direction, and
        how often they are sent again."""
        self.crossings += 1
        due_s, repeated = now_s, 0
        if self._loss:
            measured = LINUX.round_trip()
            measured.settled(2 * self._latency_s + self._jitter_s, self._jitter_s / 3)
            while self._rng.random() < self._loss:
                due_s += LINUX.wait_s(measured.timeout_s, max(0, repeated - 1))
                repeated += 1
        due_s = max(self._crossed_s(due_s, n_bytes), not_before_s)
        return due_s, repeated

    def handshake_s(self) -> float:
        """Tell how long SYN, SYN-ACK and the third part take, with the repetitions of what is lost."""
        now_s = 0.0
        for _ in range(3 if not self.transparent else 0):
            repeated = 0
            while self._loss and self._rng.random() < self._loss:
                now_s += LINUX.syn_wait_s(repeated)
                repeated += 1
            now_s += self._latency_s + (self._jitter_s * self._rng.random() if self._jitter_s else 0.0)
        return now_s

    def _crossed_s(self, sent_s: float, n_bytes: int) -> float:
        due_s = sent_s + self._latency_s
        if self._jitter_s:
            due_s += self._rng.random() * self._jitter_s
        if self._bytes_per_s is not None:
            n_bytes += LINUX.header_bytes * (n_bytes // MSS + 1)
            self._busy_until_s = max(self._busy_until_s, sent_s) + n_bytes / self._bytes_per_s
            due_s += self._busy_until_s - sent_s
        return due_s

    def node_is_gone(self) -> bool:
        return self._is_gone()

    def note_held(self, direction: Direction, n_bytes: int) -> None:
        self.held_bytes += n_bytes
        self.observer.held(self.name, direction, n_bytes)

    def note_refused(self, by_silence: bool) -> None:
        self.refused += 1
        self.observer.refused(self.name, "silence" if by_silence else "rst")
