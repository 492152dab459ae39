"""The TCP fault proxy: one node's Wi-Fi link in real time, between its socket and the broker's.

Bytes cross through pairs of asyncio protocols, written straight from one transport to the other. While the
link is down nothing crosses, in either direction: neither bytes nor FIN, nor RST, nor a new connection. What
was held is delivered, in order, once the link is up again, as TCP's retransmissions would deliver it.

Two things loopback cannot imitate. A connection attempt while the link is down hangs (it reaches the broker
when the link is up), but the node's own kernel already calls it connected: the proxy must accept it to own
it. And an attempt while the broker is stopped is seen by the node as accepted and then reset, not as refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
import struct
from collections import deque
from collections.abc import Iterator
from typing import Final

from sim.net.observer import ByteTap, Direction, How, NullObserver, Side, WireObserver

_LINGER_RESET = struct.pack("ii", 1, 0)  # close() then sends RST and drops what is unsent
_HELD_LIMIT = 256 * 1024  # as a TCP window would, stop reading a sender whose bytes do not cross

# What crosses a direction: bytes, an end of stream (empty bytes, as recv() shows it), or a reset.
_FIN: Final = b""
_RESET: Final = None
_Item = bytes | None


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
        self._bandwidth_bps: float | None = None
        self._pipes: dict[_Pipe, None] = {}
        self._server: asyncio.Server | None = None
        self.transparent = True
        """Up and not slowed: bytes need not be queued."""

    @property
    def open_connections(self) -> int:
        """Connections of the node that exist now, whether or not they reached the broker."""
        return sum(1 for pipe in self._pipes if not pipe.orphaned)

    @property
    def reached(self) -> int:
        """Those of them that have reached the broker."""
        return sum(1 for pipe in self._pipes if pipe.conn and not pipe.orphaned)

    async def start(self) -> None:
        """Listen on a free port; `port` says which. OSError when `host` is no address of this machine."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Pipe(self, loop).node, self.host, 0)
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
        """The link falls silent: from now on nothing crosses."""
        self.is_up = False
        self._refresh()
        for pipe in self._pipes:
            pipe.link_down()

    def up(self) -> None:
        """The link works again: held bytes, ends and connection attempts cross now."""
        self.is_up = True
        self._refresh()
        for pipe in list(self._pipes):
            pipe.link_up()

    def reset(self) -> None:
        """RST to both sides of every open connection, as a middlebox that lost its state would send."""
        for pipe in list(self._pipes):
            pipe.report("rst", "node")
            pipe.drop()

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
        """The node lost power: its sockets are gone and the broker hears nothing of it.

        The broker's side stays open. After the next `up` (the node has booted) its kernel knows nothing of
        that connection, and answers what the broker sends on it, or sent meanwhile, with RST.
        """
        for pipe in list(self._pipes):
            pipe.forget()

    def set_delay(self, latency_s: float, jitter_s: float = 0.0, bandwidth_bps: float | None = None) -> None:
        """Make the link slow: what is sent from now on takes `latency_s` + up to `jitter_s` each way, at most
        `bandwidth_bps` bits a second; all zero and None make it fast again. Order is kept."""
        self._latency_s, self._jitter_s, self._bandwidth_bps = latency_s, jitter_s, bandwidth_bps
        self._refresh()

    def _refresh(self) -> None:
        slow = self._latency_s > 0 or self._jitter_s > 0 or self._bandwidth_bps is not None
        self.transparent = self.is_up and not slow

    def _due_s(self, now_s: float, last_due_s: float, n_bytes: int) -> float:
        """When `n_bytes` sent now arrive, not before what was sent earlier in the same direction."""
        self.crossings += 1
        due_s = now_s + self._latency_s
        if self._jitter_s:
            due_s += self._rng.random() * self._jitter_s
        due_s = max(due_s, last_due_s)
        if self._bandwidth_bps is not None:
            due_s += n_bytes * 8 / self._bandwidth_bps
        return due_s

    def _note_held(self, direction: Direction, n_bytes: int) -> None:
        self.held_bytes += n_bytes
        self.observer.held(self.name, direction, n_bytes)

    def _note_refused(self, by_silence: bool) -> None:
        self.refused += 1
        self.observer.refused(self.name, "silence" if by_silence else "rst")


class _Pipe:
    """One connection of the node: its two sides, and the two directions between them."""

    def __init__(self, proxy: FaultProxy, loop: asyncio.AbstractEventLoop) -> None:
        self.proxy = proxy
        self.loop = loop
        self.conn = 0  # numbered once it reaches the broker
        self.orphaned = False  # the node lost power; the broker does not know
        self._rebooted = False
        self._reported = False
        self._dropped = False
        self._connecting: asyncio.Task[None] | None = None
        self.node = _Endpoint(self, "node")
        self.broker = _Endpoint(self, "broker")
        self.node.out = _Lane(self, "to_broker", self.node, self.broker)
        self.broker.out = _Lane(self, "to_node", self.broker, self.node)

    # --- life ---

    def accepted(self) -> None:
        if self.proxy.closed:  # it was accepted in the same turn of the loop
            self.node.abort()
            return
        self.proxy._pipes[self] = None
        if self.proxy.is_up:
            self._connect()
        else:
            self.proxy._note_refused(by_silence=True)

    def _connect(self) -> None:
        self._connecting = self.loop.create_task(self._reach_broker())

    async def _reach_broker(self) -> None:
        try:
            await self.loop.create_connection(lambda: self.broker, *self.proxy.upstream)
        except OSError:
            self.proxy._note_refused(by_silence=False)
            self.drop()

    def reached(self) -> None:
        self.conn = next(self.proxy._connections)
        self.proxy.observer.opened(self.proxy.name, self.conn)
        if self._dropped:
            self.report("rst", "node")
            self.broker.abort()
        self.node.out.flush()

    def link_down(self) -> None:
        for lane in (self.node.out, self.broker.out):
            if lane.queue and self.conn:  # still on its way over a slow link
                self.proxy._note_held(lane.direction, lane.queued_bytes)

    def link_up(self) -> None:
        if self.orphaned:
            self._rebooted = True
            if self.broker.out.waiting:
                self.drop()
            return
        if self._connecting is None:
            self._connect()
        self.node.out.flush()
        self.broker.out.flush()

    def forget(self) -> None:
        if self.orphaned:
            return
        self.node.out.clear()  # it was never sent
        self.orphaned = True
        self.report("lost", "node")
        self.node.abort()
        if self.broker.transport is None:
            self.drop()

    def drop(self) -> None:
        """Reset both sides at once and forget the connection."""
        self._dropped = True  # a broker that is being connected to hears of it when it has accepted
        for side in (self.node, self.broker):
            side.out.clear()
            side.abort()
        self.side_gone()

    def side_gone(self) -> None:
        connecting = self._connecting is not None and not self._connecting.done()
        if not connecting and all(s.transport is None or s.closed.is_set() for s in (self.node, self.broker)):
            self.proxy._pipes.pop(self, None)

    async def finished(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        for side in (self.node, self.broker):
            if side.transport is not None:
                await side.closed.wait()

    def report(self, how: How, by: Side) -> None:
        """Tell the observer, once, how the connection ended."""
        if self.conn and not self._reported:
            self._reported = True
            if self.proxy.tap is not None:
                self.proxy.tap.closed(self)
            self.proxy.observer.closed(self.proxy.name, self.conn, how, by)

    # --- what crosses ---

    def send(self, lane: _Lane, item: _Item) -> None:
        """`item` came in on the side where `lane` begins."""
        if self.orphaned:
            if lane.direction == "to_node":
                self._meets_dead_node(lane, item)
            return
        if self.conn and self.proxy.transparent and not lane.queue:
            lane.deliver(item)
            return
        if not self.proxy.is_up:
            self.proxy._note_held(lane.direction, len(item or b""))
        lane.put(item)

    def _meets_dead_node(self, lane: _Lane, item: _Item) -> None:
        if self._rebooted and self.proxy.is_up:
            self.drop()
            return
        self.proxy._note_held("to_node", len(item or b""))
        lane.waiting = True


class _Lane:
    """One direction of a connection: passes on at once, or queues while the link is down or slow."""

    def __init__(self, pipe: _Pipe, direction: Direction, source: _Endpoint, target: _Endpoint) -> None:
        self.pipe = pipe
        self.direction: Direction = direction
        self.source = source
        self.target = target
        self.queue: deque[tuple[float, _Item]] = deque()
        self.waiting = False  # something was sent to a node without power
        self._due_s = 0.0
        self.queued_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def put(self, item: _Item) -> None:
        n_bytes = len(item or b"")
        now_s = self.pipe.loop.time()
        self._due_s = self.pipe.proxy._due_s(now_s, self._due_s, n_bytes)
        self.queue.append((self._due_s, item))
        self.queued_bytes += n_bytes
        if self.queued_bytes > _HELD_LIMIT:
            self.source.pause()
        if self._timer is None:
            self.flush()

    def flush(self) -> None:
        """Deliver what is due; come back when the next is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now_s = self.pipe.loop.time()
        while self.queue and self.pipe.conn and self.pipe.proxy.is_up:
            due_s, item = self.queue[0]
            if due_s > now_s:
                self._timer = self.pipe.loop.call_at(due_s, self.flush)
                return
            self.queue.popleft()
            self.queued_bytes -= len(item or b"")
            self.deliver(item)
        if self.queued_bytes <= _HELD_LIMIT and not self.target.full:
            self.source.resume()

    def deliver(self, item: _Item) -> None:
        transport = self.target.transport
        if item:
            if transport is not None and not transport.is_closing():
                transport.write(item)
                if self.pipe.proxy.tap is not None:
                    self.pipe.proxy.tap.crossed(self.pipe, self.direction, item)
            return
        if item is _RESET:
            self.target.abort()
        elif transport is not None and not transport.is_closing():
            with contextlib.suppress(OSError):  # reset meanwhile, which the loop has not told us yet
                transport.write_eof()
        self.pipe.report("fin" if item == _FIN else "rst", self.source.side)
        if self.source.ended and self.target.ended:
            self.source.close()
            self.target.close()

    def clear(self) -> None:
        self.queue.clear()
        self.queued_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Endpoint(asyncio.Protocol):
    """One side's socket."""

    out: _Lane  # where what this side sends goes

    def __init__(self, pipe: _Pipe, side: Side) -> None:
        self.pipe = pipe
        self.side: Side = side
        self.transport: asyncio.Transport | None = None
        self.ended = False  # it has sent FIN, or is gone
        self.full = False  # it reads slower than it is sent to
        self.closed = asyncio.Event()
        self._aborted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.side == "node":
            self.pipe.accepted()
        else:
            self.pipe.reached()

    def data_received(self, data: bytes) -> None:
        self.pipe.send(self.out, data)

    def eof_received(self) -> bool:
        self.ended = True
        self.pipe.send(self.out, _FIN)
        return True  # the other direction may still carry bytes

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        if exc is not None and not self._aborted:
            self.ended = True
            self.pipe.send(self.out, _RESET)
        self.pipe.side_gone()

    # Who sends to this side is the one that this side sends to: `out.target`.

    def pause_writing(self) -> None:
        self.full = True
        self.out.target.pause()

    def resume_writing(self) -> None:
        self.full = False
        self.out.target.resume()

    def pause(self) -> None:
        if self.transport is not None:
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Reset this side: the peer sees RST."""
        self._aborted = True
        self.ended = True
        if self.transport is not None and not self.closed.is_set():
            sock: socket.socket | None = self.transport.get_extra_info("socket")
            if sock is not None and sock.fileno() != -1:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
            self.transport.abort()
