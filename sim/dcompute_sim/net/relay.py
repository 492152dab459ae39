"""One connection through the fault proxy: its two sides, and what crosses between them.

Bytes go through pairs of asyncio protocols, written straight from one transport to the other. Each direction
passes on at once, or queues while the link is down or slow.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from typing import Final, Protocol

from dcompute_sim.net.observer import LATE_S, ByteTap, Direction, How, Side, WireObserver

_LINGER_RESET = struct.pack("ii", 1, 0)  # close() then sends RST and drops what is unsent
_HELD_LIMIT = 256 * 1024  # as a TCP window would, stop reading a sender whose bytes do not cross

# What crosses a direction: bytes, an end of stream (empty bytes, as recv() shows it), or a reset.
_FIN: Final = b""
_RESET: Final = None
_Item = bytes | None


class LinkState(Protocol):
    """The link that a connection goes over, as it is now."""

    name: str
    upstream: tuple[str, int]
    observer: WireObserver
    tap: ByteTap | None
    is_up: bool
    closed: bool
    transparent: bool
    """Up and not slowed: bytes need not be queued."""
    grace_s: float
    """How long an end of the node's waits for news that it is none."""

    def joined(self, pipe: Pipe) -> None: ...
    def left(self, pipe: Pipe) -> None: ...

    def number(self) -> int:
        """Return the number of a connection that has reached the broker."""

    def crossing(self, now_s: float, not_before_s: float, n_bytes: int) -> tuple[float, int]:
        """Return when `n_bytes` sent now arrive, not before what was sent earlier in the same direction, and
        how often they are sent again."""

    def handshake_s(self) -> float:
        """Tell how long a new connection takes to reach the broker."""

    def node_is_gone(self) -> bool:
        """Say whether who connected has stopped as a chip does, which ends nothing."""

    def note_held(self, direction: Direction, n_bytes: int) -> None: ...
    def note_refused(self, by_silence: bool) -> None: ...


class Pipe:
    """One connection of the node: its two sides, and the two directions between them."""

    def __init__(self, link: LinkState, loop: asyncio.AbstractEventLoop) -> None:
        self.link = link
        self.loop = loop
        self.conn = 0  # numbered once it reaches the broker
        self.orphaned = False  # the node lost power; the broker does not know
        self.forgotten = False  # what is sent on it vanishes
        self._rebooted = False
        self._reported = False
        self._spoke_at_s = loop.time()
        self._dropped = False
        self._connecting: asyncio.Task[None] | None = None
        self.node = _Endpoint(self, "node")
        self.broker = _Endpoint(self, "broker")
        self.node.out = _Lane(self, "to_broker", self.node, self.broker)
        self.broker.out = _Lane(self, "to_node", self.broker, self.node)

    @property
    def is_held(self) -> bool:
        """The node still holds on to it."""
        return not (self.orphaned or (self.forgotten and self.node.closed.is_set()))

    # --- life ---

    def accepted(self) -> None:
        if self.link.closed:  # it was accepted in the same turn of the loop
            self.node.abort()
            return
        self.link.joined(self)
        if self.link.is_up:
            self._connect()
        else:
            self.link.note_refused(by_silence=True)

    def _connect(self) -> None:
        self._connecting = self.loop.create_task(self._reach_broker())

    async def _reach_broker(self) -> None:
        delay_s = self.link.handshake_s()
        if delay_s:
            await asyncio.sleep(delay_s)
            if not self.link.is_up and not self._dropped:
                self._connecting = None  # `link_up` tries again
                self.link.note_refused(by_silence=True)
                return
        try:
            await self.loop.create_connection(lambda: self.broker, *self.link.upstream)
        except OSError:
            self.link.note_refused(by_silence=False)
            self.drop()

    def reached(self) -> None:
        self.conn = self.link.number()
        self.link.observer.opened(self.link.name, self.conn)
        if self._dropped:
            self.report("rst", "node")
            self.broker.abort()
        self.node.out.flush()

    def link_down(self) -> None:
        for lane in (self.node.out, self.broker.out):
            if lane.queue and self.conn:  # still on its way over a slow link
                self.link.note_held(lane.direction, lane.queued_bytes)

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
            self.link.left(self)

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
            if self.link.tap is not None:
                self.link.tap.closed(self)
            quiet_s = self.loop.time() - self._spoke_at_s
            self.link.observer.closed(self.link.name, self.conn, how, by, quiet_s)

    # --- what crosses ---

    def ended(self, lane: _Lane, item: _Item) -> None:
        """Act on FIN or RST that came in on the side where `lane` begins.

        A chip that resets, sleeps or loses power sends neither. Its process does, when this kernel cleans up
        after it, and that comes before the news of its end.
        """
        if lane is self.node.out and self.link.grace_s:
            self.loop.call_later(self.link.grace_s, self._ended, lane, item)
        else:
            self.send(lane, item)

    def _ended(self, lane: _Lane, item: _Item) -> None:
        if self.link.node_is_gone():
            self.forget()
        elif not self.orphaned:
            self.send(lane, item)

    def send(self, lane: _Lane, item: _Item) -> None:
        """Send on `item`, which came in on the side where `lane` begins."""
        if item and lane is self.node.out:
            self._spoke_at_s = self.loop.time()
        if self.forgotten:
            self.link.note_held(lane.direction, len(item or b""))
            if lane.source.ended and lane is self.node.out:
                self.node.close()
            return
        if self.orphaned:
            if lane.direction == "to_node":
                # A node that is up again knows nothing of the connection and answers with RST; one that is
                # not answers nothing until it is (`link_up`).
                if self._rebooted and self.link.is_up:
                    self.drop()
                else:
                    self.link.note_held("to_node", len(item or b""))
                    lane.waiting = True
            return
        if self.conn and self.link.transparent and not lane.queue:
            lane.deliver(item)
            return
        if not self.link.is_up:
            self.link.note_held(lane.direction, len(item or b""))
        lane.put(item)


class _Lane:
    """One direction of a connection: passes on at once, or queues while the link is down or slow."""

    def __init__(self, pipe: Pipe, direction: Direction, source: _Endpoint, target: _Endpoint) -> None:
        self.pipe = pipe
        self.direction: Direction = direction
        self.source = source
        self.target = target
        self.queue: deque[tuple[float, _Item, bool]] = deque()  # due, what, whether it ends a stall
        self.waiting = False  # something was sent to a node without power
        self._due_s = 0.0
        self._delay_s = 0.0  # that the newest item had
        self.queued_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def put(self, item: _Item) -> None:
        n_bytes = len(item or b"")
        now_s = self.pipe.loop.time()
        self._due_s, repeated = self.pipe.link.crossing(now_s, self._due_s, n_bytes)
        is_told = self.direction == "to_broker" and self.pipe.conn > 0
        stalls = repeated > 1 and is_told and not any(item[2] for item in self.queue)
        if stalls:  # a retransmission is lost as well
            self.pipe.link.observer.stalled(self.pipe.link.name, self.pipe.conn, 0.0)
        delay_s = self._due_s - now_s
        if is_told and delay_s >= self._delay_s + LATE_S:
            self.pipe.link.observer.late(self.pipe.link.name, self.pipe.conn, delay_s, 0.0)
        self._delay_s = delay_s
        self.queue.append((self._due_s, item, stalls))
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
        while self.queue and self.pipe.conn and self.pipe.link.is_up:
            due_s, item, stalls = self.queue[0]
            if due_s > now_s:
                self._timer = self.pipe.loop.call_at(due_s, self.flush)
                return
            self.queue.popleft()
            self.queued_bytes -= len(item or b"")
            if stalls:
                self.pipe.link.observer.resumed(self.pipe.link.name, self.pipe.conn)
            self.deliver(item)
        if self.queued_bytes <= _HELD_LIMIT and not self.target.full:
            self.source.resume()

    def deliver(self, item: _Item) -> None:
        transport = self.target.transport
        if item:
            if transport is not None and not transport.is_closing():
                transport.write(item)
                if self.pipe.link.tap is not None:
                    self.pipe.link.tap.crossed(self.pipe, self.direction, item)
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

    def __init__(self, pipe: Pipe, side: Side) -> None:
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
        self.pipe.ended(self.out, _FIN)
        return True  # the other direction may still carry bytes

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        if exc is not None and not self._aborted:
            self.ended = True
            self.pipe.ended(self.out, _RESET)
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
