"""One TCP connection in virtual time: two endpoints, the segments between them, and every way it can end.

Rules kept, because programs can observe them:

* Bytes arrive once, in order, or the connection ends in an error.
* A segment that does not cross is held by its sender and retransmitted when its timer says (`profile`), which
  backs off exponentially, not at the moment the link heals. Past the limit the sender sees ETIMEDOUT and
  tells nobody.
* FIN travels in order behind the bytes and is retransmitted as they are; RST overtakes nothing and is not.
* A host that no longer knows a connection (it lost power, its program closed, it gave up) answers bytes
  with RST.
* Closing with unread bytes sends RST instead of FIN.

Not modelled, because nothing here depends on it: congestion control, selective and delayed
acknowledgements (a delivered byte counts as acknowledged at once), TIME_WAIT, sequence numbers a stranger
could guess.

A segment is one SimPy event, scheduled when it is sent and found to cross or not when it is due. A byte
stream at rest has no timer.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from heapq import heappush
from typing import TYPE_CHECKING, Any, Final

from simpy.events import NORMAL

from dcompute_sim.net.observer import Direction, How, Side

if TYPE_CHECKING:
    from dcompute_sim.net.clock import Timer
    from dcompute_sim.net.link import Link
    from dcompute_sim.net.network import Host, Network

MSS: Final = 1460  # same-instant writes are joined up to this size

# States of an endpoint, as a program and its kernel know them.
CONNECTING: Final = 0  # client: SYN sent; server: no SYN arrived
OPEN: Final = 1
CLOSING: Final = 2  # the program has closed; the kernel still delivers bytes and FIN
GONE: Final = 3  # the host knows nothing of it (any more)
SYN_RECEIVED: Final = 4  # server: the SYN is answered, the program not yet told

# What a segment carries besides bytes.
_FIN: Final = b""  # end of stream, as recv() shows it
_ACK: Final = None  # third part of the handshake


class Segment:
    """Bytes (or FIN, or the handshake's last ACK) on their way; to SimPy, an event that succeeded."""

    __slots__ = ("callbacks", "payload", "sender", "seq")
    _ok = True
    callbacks: object

    def __init__(self, sender: Endpoint, seq: int, payload: bytes | None) -> None:
        self.sender = sender
        self.seq = seq
        self.payload = payload


class TcpConnection:
    """What both endpoints share: who they are, and what the observer was told."""

    __slots__ = ("_reported", "client", "key", "name", "network", "number", "server")

    client: Endpoint
    server: Endpoint

    def __init__(self, network: Network, key: int, name: str) -> None:
        self.network = network
        self.key = key  # counts attempts
        self.name = name
        self.number = 0  # counts accepted connections, as the observer is told; 0 before
        self._reported = False

    def opened(self) -> None:
        self.number = next(self.network.connections)
        self.network.observer.opened(self.name, self.number)

    def report(self, how: How, by: Side) -> None:
        """Tell the observer, once, how the connection ended."""
        if self.number and not self._reported:
            self._reported = True
            self.network.observer.closed(self.name, self.number, how, by)

    def refresh(self) -> None:
        """A host or link changed: find out anew what crosses, and which links have a say in it."""
        for end in (self.client, self.server):
            links = (end.host.link, end.peer.host.link)
            end.path_up = links[0].is_up and links[1].is_up and end.peer.host.powered
            end.slow_links = tuple(link for link in links if not link.ideal)
            end.may_lose = not end.path_up or any(link.loss for link in end.slow_links)

    def release(self) -> None:
        """Forget a connection both ends of which are gone."""
        if self.client.state == GONE and self.server.state == GONE:
            self.client.host.connections.pop(self, None)
            self.server.host.connections.pop(self, None)


class Endpoint:
    """One side of a connection: its kernel's part. `Socket` and `Stream` add the program's."""

    __slots__ = (
        "_arrival_s",
        "_attempts",
        "_blocked",
        "_env",
        "_fin_received",
        "_fin_sent",
        "_held",
        "_network",
        "_pending",
        "_pending_at_s",
        "_stalled",
        "_timer",
        "connection",
        "error",
        "host",
        "may_lose",
        "on_done",
        "path_up",
        "peer",
        "port",
        "received",
        "sent",
        "side",
        "slow_links",
        "state",
    )

    peer: Endpoint
    unread_bytes: int = 0
    """Bytes received that this side's program has not read."""

    def __init__(self, connection: TcpConnection, host: Host, port: int, side: Side) -> None:
        self.connection = connection
        self.host = host
        self.port = port
        self.side: Side = side
        self.state = CONNECTING
        self.path_up = True  # what this side sends now crosses
        self.may_lose = False  # ... or perhaps not: the path is down, or a link of it draws lots
        self.slow_links: tuple[Link, ...] = ()  # those on the path that take time
        self.sent = 1  # next sequence number to send; SYN was 0
        self.received = 1  # next sequence number expected
        self.error: OSError | None = None
        self.on_done: Callable[[OSError | None], None] | None = None  # client: how the attempt ended
        self._fin_sent = False
        self._fin_received = False
        self._held: list[Segment] = []  # did not cross; retransmitted when the timer says
        self._timer: Timer | None = None
        self._attempts = 0
        self._stalled = False  # client: a retransmission met silence, and none got through since
        self._network = host.network
        self._env = host.network.env
        self._pending: Segment | None = None  # the newest segment, which a write at the same instant joins
        self._pending_at_s = 0.0
        self._arrival_s = 0.0  # of the newest segment: later ones do not overtake it
        self._blocked = False  # the program was told that the send buffer is full

    # --- for the program's part ---

    @property
    def backlog_bytes(self) -> int:
        """Bytes sent that the other side's program has not read."""
        return self.sent - self.peer.received + self.peer.unread_bytes

    def close(self) -> None:
        """The program is done (or died): FIN after what was sent, or RST if it leaves bytes unread."""
        self.detach()
        if self.state == CONNECTING:
            self.vanish()
        elif self.state == OPEN:
            if self.unread_bytes:
                self.abort()
                return
            self.state = CLOSING
            self.shutdown()
            self._finish()

    def shutdown(self) -> None:
        """FIN: nothing more will be sent. Receiving goes on."""
        if not self._fin_sent and self.state in (OPEN, CLOSING):
            self._fin_sent = True
            self._transmit(_FIN, 1)

    def abort(self) -> None:
        """RST at once; what was not delivered is lost."""
        self.detach()
        if self.state in (OPEN, CLOSING):
            self._send_reset(self.sent)
        self.vanish()

    def detach(self) -> None:
        """Call the program no more."""
        self.on_done = None

    # What the kernel tells the program; overridden.

    def arrived(self, data: bytes) -> None:
        raise NotImplementedError

    def peer_finished(self) -> None:
        raise NotImplementedError

    def failed(self) -> None:
        """`error` says why."""
        raise NotImplementedError

    def writable(self) -> None:
        """There is room in the send buffer again."""

    def connected(self) -> None:
        """The attempt to connect succeeded."""

    # --- sending ---

    def send_bytes(self, data: bytes) -> None:
        """Put `data` on the wire; a write at the same instant joins the segment before."""
        pending = self._pending
        if (
            self._pending_at_s == self._env._now
            and pending is not None
            and pending.callbacks is not None  # still under way
            and pending.payload
            and len(pending.payload) < MSS
        ):
            pending.payload += data
            self._show("PA", self.sent, data, pending.callbacks is not _CROSS)
            self.sent += len(data)
            return
        self._transmit(data, len(data))

    def _transmit(self, payload: bytes | None, length: int) -> None:
        segment = Segment(self, self.sent, payload)
        if self._held:  # after a loss the window is one segment: the rest waits behind it
            if not self.path_up:
                self.tell_held(payload)
            self._held.append(segment)
            self.sent += length
            return
        self._pending = segment
        self._pending_at_s = self._env._now
        self._launch(segment, length, _CROSS, _LOST)
        if self._network.tap is not None:
            self._show(_flags(payload), self.sent, payload or b"", segment.callbacks is _LOST)
        self.sent += length

    def _launch(self, segment: Segment, length: int, crosses: object, lost: object) -> None:
        """Schedule the segment's arrival; whether the links still work is found out then."""
        env = self._env
        now_s = env._now
        delay_s = 0.0
        for link in self.slow_links:  # `crossing_s`, without a call for each segment
            delay_s += link.delay_s(length, now_s)
        segment.callbacks = lost if self.may_lose and self.is_lost() else crosses
        arrival_s = now_s + delay_s
        if arrival_s < self._arrival_s:
            arrival_s = self._arrival_s
        self._arrival_s = arrival_s
        # As `env.schedule` does, without its way from the time to a delay and back.
        entry: Any = (arrival_s, NORMAL, next(env._eid), segment)
        heappush(env._queue, entry)

    def crossing_s(self, length: int, now_s: float) -> float:
        """How long a segment of `length` bytes sent now takes to the other side."""
        delay_s = 0.0
        for link in self.slow_links:
            delay_s += link.delay_s(length, now_s)
        return delay_s

    def is_lost(self) -> bool:
        """Whether a segment sent now goes nowhere: silence, or a draw of a lossy link."""
        return not self.path_up or any(link.loss > 0 and link.loses() for link in self.slow_links)

    def _send_reset(self, seq: int) -> None:
        self._show("RA", seq, b"", not self.path_up)
        reset = Segment(self, seq, None)
        self._launch(reset, 0, _RESET_CROSS, _RESET_LOST)

    # --- holding and retransmitting ---

    def hold(self, segment: Segment) -> None:
        """`segment` did not get through: keep it for retransmission (if this side still exists)."""
        if self.state == GONE:
            return
        self._held.append(segment)
        if self._timer is None:
            self._wait()

    def tell_held(self, payload: bytes | None) -> None:
        direction: Direction = "to_broker" if self.side == "node" else "to_node"
        self._network.observer.held(self.connection.name, direction, len(payload or b""))

    def _wait(self) -> None:
        wait_s = self.host.tcp.wait_s(self._attempts)
        self._timer = self._network.clock.call_later(wait_s, self._timed_out)

    def _timed_out(self) -> None:
        self._timer = None
        if self._attempts >= self.host.tcp.retries:
            self._give_up()
            return
        self._attempts += 1
        if not self.path_up:
            self._show_retransmission(min(self._held, key=_seq), lost=True)
            self._tell_stalled()
            self._wait()
            return
        held, self._held = sorted(self._held, key=_seq), []
        for segment in held:
            self._launch(segment, len(segment.payload or b""), _CROSS_AGAIN, _LOST_AGAIN)
            self._show_retransmission(segment, segment.callbacks is _LOST_AGAIN)

    def _give_up(self) -> None:
        if all(segment.payload is _ACK for segment in self._held):
            # Only the handshake's last ACK is missing: nothing of ours is unanswered; the server forgets us.
            self._held.clear()
            self.peer.vanish()
            return
        self.connection.report("timeout", self.side)
        self.fail(TimeoutError(errno.ETIMEDOUT, "connection timed out: retransmissions went unanswered"))

    def _tell_stalled(self) -> None:
        if self.side == "node" and not self._stalled and self.connection.number:
            self._stalled = True
            self._network.observer.stalled(self.connection.name, self.connection.number)

    def acknowledged(self) -> None:
        """A retransmission got through: the backoff is over [RFC 6298, 5.3], also for those sent with it that
        did not, whose gap the peer's duplicate acknowledgements show [RFC 5681, 3.2]."""
        self._attempts = 0
        if self._timer is not None:
            self._timer.cancel()
            self._wait()

    def tell_resumed(self) -> None:
        if self._stalled:
            self._stalled = False
            self._network.observer.resumed(self.connection.name, self.connection.number)

    # --- receiving ---

    def receive(self, segment: Segment) -> None:
        """A segment reached this host; the common case is handled before (`_cross`)."""
        if self.state == SYN_RECEIVED and not self._accept():
            return
        if self.state == GONE:
            self._answer_with_reset()
            return
        if segment.seq > self.received:
            segment.sender.hold(segment)  # an earlier one is missing
            return
        payload = segment.payload
        if payload is _ACK:
            return
        if payload == _FIN:
            self._receive_fin(segment.sender)
        elif self.state == CLOSING:
            self._answer_with_reset()  # bytes for a program that has closed
            self.vanish()
        else:
            self._receive_bytes(segment.sender, payload)

    def _receive_bytes(self, sender: Endpoint, payload: bytes) -> None:
        self.received += len(payload)
        if self._network.tap is not None:
            self._show("A", self.sent, b"", lost=False)
        self.arrived(payload)
        if sender._blocked:
            sender.unblock()

    def _receive_fin(self, sender: Endpoint) -> None:
        self.received += 1
        self._fin_received = True
        self._show("A", self.sent, b"", lost=False)
        self.connection.report("fin", sender.side)
        if self.state == OPEN:
            self.peer_finished()
        self._finish()

    def reset_received(self, by: Side) -> None:
        """RST arrived. Where nobody knows the connection any more either, because each side's RST crossed the
        other's, it still is what ended it."""
        self.connection.report("rst", by)
        if self.state in (OPEN, CLOSING):
            self.fail(ConnectionResetError(errno.ECONNRESET, "connection reset by peer"))
        elif self.state == SYN_RECEIVED:
            self.vanish()

    def reset_by_network(self) -> None:
        """Something in between sends RST in the peer's name."""
        self.peer._show("R", self.received, b"", lost=False)
        self._network.clock.call_later(0.0, lambda: self.reset_received("node"))

    def established(self) -> None:
        """Client: the SYN was answered."""
        self.state = OPEN
        self._transmit(_ACK, 0)
        done, self.on_done = self.on_done, None
        if done is not None:
            done(None)
        if self.state == OPEN:
            self.connected()

    def _accept(self) -> bool:
        """The handshake is complete: hand the connection to the listening program, if there still is one."""
        listener = self.host.listeners.get(self.port)
        if listener is None:
            self._answer_with_reset()
            self.vanish()
            return False
        self.state = OPEN
        self.connection.opened()
        listener.accept(self)  # may close it at once
        return True

    def _answer_with_reset(self) -> None:
        if self.host.powered:
            self._send_reset(self.peer.received)

    def unblock(self) -> None:
        """Tell a program that found the send buffer full when half of it is free."""
        if self._blocked and self.backlog_bytes * 2 <= self.host.tcp.send_buffer_bytes:
            self._blocked = False
            self.writable()

    # --- ends ---

    def _finish(self) -> None:
        """Both FINs have arrived: nothing is left to do."""
        if self.state == CLOSING and self._fin_received and self.peer._fin_received:
            self.vanish()
            if self.peer.state == CLOSING:
                self.peer.vanish()

    def fail(self, error: OSError) -> None:
        """End with an error; the program is told unless it has closed."""
        self.error = error
        told = self.state != CLOSING
        done, self.on_done = self.on_done, None
        self.vanish()
        if done is not None:
            done(error)
        elif told:
            self.failed()
        self.detach()

    def vanish(self) -> None:
        """The host knows nothing of this connection any more; nobody is told."""
        self.state = GONE
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.connection.release()

    # --- for a capture ---

    def _show_retransmission(self, segment: Segment, lost: bool) -> None:
        self._show(_flags(segment.payload), segment.seq, segment.payload or b"", lost)

    def _show(self, flags: str, seq: int, payload: bytes, lost: bool) -> None:
        tap = self._network.tap
        if tap is not None and self.host.link.state != "off":  # without a WLAN nothing is transmitted
            tap.segment(self, flags, seq, self.received, payload, lost)


def _flags(payload: bytes | None) -> str:
    return "PA" if payload else ("FA" if payload is not None else "A")


def _seq(segment: Segment) -> int:
    return segment.seq


def _cross(segment: Segment) -> None:
    """A segment is due at its receiver: the one path that must be fast."""
    sender = segment.sender
    receiver = sender.peer
    payload = segment.payload
    if not sender.path_up:
        _lost(segment)
    elif payload and receiver.state == OPEN and segment.seq == receiver.received:
        receiver._receive_bytes(sender, payload)
    else:
        receiver.receive(segment)


def _lost(segment: Segment) -> None:
    sender = segment.sender
    if sender.state != GONE:
        sender.tell_held(segment.payload)
        sender.hold(segment)


def _cross_again(segment: Segment) -> None:
    sender = segment.sender
    if not sender.path_up:
        sender.hold(segment)
        return
    sender.acknowledged()
    sender.peer.receive(segment)
    if sender.peer.received > segment.seq:
        sender.tell_resumed()


def _lost_again(segment: Segment) -> None:
    segment.sender.hold(segment)


def _reset_cross(reset: Segment) -> None:
    sender = reset.sender
    if sender.path_up:
        sender.peer.reset_received(sender.side)
    else:
        _reset_lost(reset)


def _reset_lost(reset: Segment) -> None:
    reset.sender.tell_held(None)


# SimPy runs an event's callbacks; these tuples are shared by all segments.
_CROSS = (_cross,)
_LOST = (_lost,)
_CROSS_AGAIN = (_cross_again,)
_LOST_AGAIN = (_lost_again,)
_RESET_CROSS = (_reset_cross,)
_RESET_LOST = (_reset_lost,)
