"""One TCP connection in virtual time: two endpoints, the segments between them, and every way it can end.

The rules, because programs can observe them:

* Bytes arrive once, in order, or the connection ends in an error [RFC 9293, 3.4]. What arrives beyond a gap
  is kept until the gap is filled [RFC 9293, 3.10.7.4], and the sender is told what that is [RFC 2018].
* What does not cross is sent again, until the kernel gives up (`recovery`); not at the moment the link heals,
  for nothing tells TCP of that. Who gives up sees ETIMEDOUT and tells nobody.
* FIN travels in order behind the bytes and is retransmitted as they are. RST overtakes nothing and is sent
  once; when it is lost, the other side's next segment provokes another [RFC 9293, 3.5.2].
* A host that no longer knows a connection (it lost power, its program closed, it gave up) answers whatever
  arrives with RST, as long as the other side knows it.
* Closing with unread bytes sends RST instead of FIN [RFC 1122, 4.2.2.13].
* The third part of the handshake is an acknowledgement like any other: lost, the server's SYN-ACK comes
  again.

Why there are two ways across. On a link that is up, loses nothing and has room, all of this cannot be
observed: each segment arrives after its delay, and so would its acknowledgement. There a segment is one SimPy
event, nothing is kept and no timer runs; a fleet of a thousand costs what its bytes cost. As soon as a link
of the connection is silent, draws lots or is narrow, both endpoints get a `SendWindow` (they are *watched*)
and keep it until the link is well again and all has arrived. What the kernel had measured until then is
worked out from the link as it was (`Link.round_trip_s`); segments that were under way unwatched and meet
silence are put back into the window.

Rejected: watching always. It makes 2.5 times the events, on links where no program can tell.

Not modelled: TIME_WAIT and the timers of closed programs' connections, the receiver's window (a send buffer
stands for it), sequence numbers a stranger could guess, a queue on a narrow link that overflows.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Callable
from heapq import heappush

from simpy.events import NORMAL

from dcompute_sim.net.link import Link
from dcompute_sim.net.observer import LATE_S, Direction, Side
from dcompute_sim.net.recovery import Recovery
from dcompute_sim.net.segment import ACK, FIN, Segment, WatchedSegment, flags_of
from dcompute_sim.net.send_window import MSS, SendWindow
from dcompute_sim.net.tcp_connection import (
    CLOSING,
    CONNECTING,
    GONE,
    OPEN,
    SYN_RECEIVED,
    Kernel,
    TcpConnection,
)


class Endpoint:
    """One side of a connection: its kernel's part. `Socket` and `Stream` add the program's."""

    __slots__ = (
        "_arrival_s",
        "_blocked",
        "_delay_s",
        "_env",
        "_fin_received",
        "_fin_sent",
        "_network",
        "_pending",
        "_recovery",
        "_room_to",
        "_under_way",
        "connection",
        "error",
        "host",
        "on_done",
        "path_up",
        "peer",
        "port",
        "received",
        "sent",
        "side",
        "slow_links",
        "spoke_at_s",
        "state",
    )

    peer: Endpoint
    unread_bytes: int = 0
    """Bytes received that this side's program has not read."""

    def __init__(self, connection: TcpConnection, host: Kernel, port: int, side: Side) -> None:
        self.connection = connection
        self.host = host
        self.port = port
        self.side: Side = side
        self.state = CONNECTING
        self.path_up = True  # what this side sends now is not swallowed by silence
        self.slow_links: tuple[Link, ...] = ()  # those on the path that have a say
        self.sent = 1  # next sequence number to send; SYN was 0
        self.received = 1  # next sequence number expected
        self.spoke_at_s = host.network.env.now  # when the program last had something to say
        self.error: OSError | None = None
        self.on_done: Callable[[OSError | None], None] | None = None  # client: how the attempt ended
        self._fin_sent = False
        self._fin_received = False
        self._network = host.network
        self._env = host.network.env
        self._pending: Segment[Endpoint] | None = (
            None  # the newest segment, which a write at the same instant joins
        )
        self._arrival_s = 0.0  # of the newest segment: later ones do not overtake it
        self._delay_s = math.inf  # that the newest bytes had; of the first there is nothing to compare with
        self._under_way = 0  # up to here bytes have been sent, watched, over a link that was up
        self._blocked = False  # the program was told that the send buffer is full
        self._room_to: float = math.inf  # where `overrun` wants to know that more was sent
        self._recovery: Recovery | None = None  # since it was first watched, or got something of who is

    # --- for the program's part ---

    @property
    def is_watched(self) -> bool:
        """Whether something was lost, or goes slowly, and may have to be sent again."""
        return self._recovery is not None and self._recovery.is_running

    @property
    def window(self) -> SendWindow | None:
        """What is under way, while it is watched."""
        return None if self._recovery is None else self._recovery.window

    @property
    def backlog_bytes(self) -> int:
        """Bytes sent that the other side's program has not read."""
        return self.sent - self.peer.received + self.peer.unread_bytes

    def close(self) -> None:
        """Close it for the program, which is done (or died): FIN after what was sent, or RST if it leaves
        bytes unread."""
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
        """Send FIN: nothing more will be sent. Receiving goes on."""
        if not self._fin_sent and self.state in (OPEN, CLOSING):
            self._fin_sent = True
            recovery = self._recovery
            if recovery is None or recovery.window is None:
                self._transmit(FIN, 1, self._env._now)
            else:
                self._put(recovery, FIN, 1)

    def abort(self) -> None:
        """Send RST at once; what was not delivered is lost."""
        self.detach()
        if self.state in (OPEN, CLOSING):
            self._send_reset(self.sent)
        self.vanish()

    def detach(self) -> None:
        """Call the program no more."""
        self.on_done = None

    # What the kernel tells the program; overridden.

    def arrived(self, data: bytes, /) -> None:
        raise NotImplementedError

    def peer_finished(self) -> None:
        raise NotImplementedError

    def failed(self) -> None:
        """Hear that it failed; `error` says why."""
        raise NotImplementedError

    def writable(self) -> None:
        """Hear that there is room in the send buffer again."""

    def overrun(self) -> None:
        """Hear that more was sent than up to `_room_to`."""

    def connected(self) -> None:
        """Take note that the attempt to connect succeeded."""

    # --- sending over a link that is well ---

    def send_bytes(self, data: bytes) -> None:
        """Put `data` on the wire; a write at the same instant joins the segment before. Ignored once the
        connection ended."""
        if not data or self.state != OPEN or self._fin_sent:
            return
        now_s = self.spoke_at_s = self._env._now
        recovery = self._recovery
        pending = self._pending
        if recovery is not None and recovery.window is not None:
            self._put(recovery, data, len(data))
        elif (
            pending is not None
            and pending.sent_at_s == now_s
            and pending.payload
            and len(pending.payload) < MSS
        ):
            pending.payload += data
            if self._network.tap is not None:
                self.show("PA", self.sent, data, lost=False)
            self.sent += len(data)
        else:
            self._transmit(data, len(data), now_s)
        if self.sent > self._room_to:
            self.overrun()

    def _transmit(self, payload: bytes | None, length: int, now_s: float) -> None:
        seq = self.sent
        self.sent = seq + length
        segment = self._pending = Segment()
        segment.sender = self
        segment.seq = seq
        segment.payload = payload
        segment.sent_at_s = arrival_s = now_s
        segment.callbacks = _CROSS
        for link in self.slow_links:  # none of them narrow, or this side would be watched
            link.crossings += 1
            jitter_s = link.jitter_s
            arrival_s += link.latency_s + jitter_s * link.draw() if jitter_s else link.latency_s
        # Jitter lets no segment overtake another: in order, they take the short way through `_cross`.
        if arrival_s < self._arrival_s:
            arrival_s = self._arrival_s
        self._arrival_s = arrival_s
        if length:
            delay_s = arrival_s - now_s
            if delay_s >= self._delay_s + LATE_S:
                self._tell_late(delay_s, 0.0)
            self._delay_s = delay_s
        if self._network.tap is not None:
            self.show(flags_of(payload), seq, payload or b"", lost=False)
        # As `env.schedule` does, without its way from the time to a delay and back.
        env = self._env
        heappush(env._queue, (arrival_s, NORMAL, next(env._eid), segment))  # type: ignore[misc]

    # --- sending over one that is not ---

    def watch(self) -> None:
        """Keep what is sent from now on until it is acknowledged."""
        if self.window is None and self.state != GONE:
            window = self._recovering().begin()
            if self.state in (OPEN, CLOSING):
                links = (self.host.link, self.peer.host.link)
                trips = [link.round_trip_s() for link in links]
                window.round_trip.settled(sum(mean for mean, _ in trips), sum(off for _, off in trips))

    def probe(self) -> None:
        """Probe for losses from now on, as both kernels do."""
        if self._recovery is not None:
            self._recovery.probe()

    def unwatch(self) -> None:
        """Stop that, once all has arrived."""
        window = self.window
        if window is not None and window.idle:
            self._stop_watching()

    def measured(self, round_trip_s: float) -> None:
        """Take note of how long the handshake took."""
        window = self.window
        if window is not None:
            window.round_trip.measured(round_trip_s)

    def _recovering(self) -> Recovery:
        if self._recovery is None:
            self._recovery = Recovery(self, self.host.tcp, self._network.clock)
        return self._recovery

    def _put(self, recovery: Recovery, payload: bytes, length: int) -> None:
        if not self.path_up and recovery.is_backing_off:  # it meets the silence as well
            self._tell_held(payload)
        recovery.put(self.sent, payload)
        self.sent += length

    def launch(self, segment: WatchedSegment[Endpoint], length: int, missed_s: float) -> bool:
        """Transmit a segment; whether, as far as one knows now, it crosses.

        Args:
            missed_s: since when the program has written it.
        """
        return self._launch(segment, length, missed_s, _CROSS_WATCHED, _SWALLOWED)

    def _launch(
        self, segment: Segment[Endpoint], length: int, missed_s: float, crosses: object, swallowed: object
    ) -> bool:
        """Schedule the segment's arrival, where it is found whether the links are up then."""
        env = self._env
        now_s = env._now
        arrival_s = max(now_s + self.crossing_s(length, now_s), self._arrival_s)
        if not self.path_up:
            segment.callbacks = swallowed
        elif self.loses():
            return False
        else:
            segment.callbacks = crosses
            end = segment.seq + length
            # Of bytes that have arrived, or will before these, a copy says nothing: it is sent because the
            # acknowledgement is late, and would make what is written next look punctual.
            if length and end > self.peer.received and end > self._under_way:
                self._under_way = end
                delay_s = arrival_s - now_s + missed_s
                if delay_s >= self._delay_s + LATE_S:
                    self._tell_late(delay_s, missed_s)
                self._delay_s = delay_s
        self._arrival_s = arrival_s
        heappush(env._queue, (arrival_s, NORMAL, next(env._eid), segment))  # type: ignore[misc]
        return self.path_up

    def crossing_s(self, length: int, now_s: float) -> float:
        """Tell how long a segment of `length` bytes sent now takes to the other side."""
        delay_s = 0.0
        for link in self.slow_links:
            delay_s += link.delay_s(length + self.host.tcp.header_bytes, now_s)
        return delay_s

    def loses(self) -> bool:
        """Draw whether a segment sent now is lost on the way."""
        return any(link.loss > 0 and link.loses() for link in self.slow_links)

    def _send_reset(self, seq: int) -> None:
        reset: Segment[Endpoint] = Segment()
        reset.sender, reset.seq, reset.payload, reset.sent_at_s = self, seq, None, self._env._now
        crosses = self._launch(reset, 0, 0.0, _RESET_CROSS, _RESET_SWALLOWED)
        self.show("RA", seq, b"", not crosses)

    def _tell_held(self, payload: bytes | None) -> None:
        direction: Direction = "to_broker" if self.side == "node" else "to_node"
        self.connection.observer.held(self.connection.name, direction, len(payload or b""))

    def tell_stalled(self, missed_s: float) -> bool:
        """Tell that something written `missed_s` ago went nowhere; say whether there is somebody to be
        told."""
        told = self.side == "node" and self.connection.number != 0
        if told:
            self.connection.observer.stalled(self.connection.name, self.connection.number, missed_s)
        return told

    def tell_resumed(self) -> None:
        """Tell that what was told to be late gets through again."""
        self.connection.observer.resumed(self.connection.name, self.connection.number)

    def _tell_late(self, delay_s: float, missed_s: float) -> None:
        if self.side == "node" and self.connection.number:
            self.connection.observer.late(self.connection.name, self.connection.number, delay_s, missed_s)

    def give_up(self) -> None:
        """Give up: the last retransmission went unanswered."""
        self.connection.report("timeout", self.side)
        self.fail(TimeoutError(errno.ETIMEDOUT, "connection timed out: retransmissions went unanswered"))

    # --- what was sent did not cross ---

    def swallowed(self, segment: Segment[Endpoint]) -> None:
        """Silence met a segment that was not watched: from now on it is."""
        if self.state == GONE:
            return
        payload = segment.payload
        self._tell_held(payload)
        if payload is not ACK:
            self.watch()
            self._recovering().put_back(segment.seq, payload, segment.sent_at_s)
        elif self.connection.opening is not None:
            self.connection.opening.unanswered()

    def swallowed_watched(self, segment: WatchedSegment[Endpoint]) -> None:
        """Silence met one that is: its timer runs."""
        self._under_way = min(self._under_way, segment.seq)
        if self.state != GONE and segment.payload is not ACK and not segment.again:
            self._tell_held(segment.payload)

    # --- receiving ---

    def receive(self, segment: Segment[Endpoint]) -> None:
        """Take a segment that reached this host; the common case is handled before (`_cross`)."""
        if self.state == SYN_RECEIVED and not self._accept():
            return
        payload = segment.payload
        if self.state == GONE:
            if payload is not ACK or segment.sender.state != GONE:
                self._answer_with_reset()
            return
        recovery = self._recovery
        if isinstance(segment, WatchedSegment):
            recovery = self._recovering()
            recovery.arrived(segment, self.connection.clean)
        if payload is ACK:
            return
        if segment.seq > self.received:  # an earlier one is missing
            self._recovering().keep(segment.seq, payload)
            return
        self._take(segment.sender, segment.seq, payload)
        while recovery is not None and recovery.early and recovery.early[0][0] <= self.received:
            seq, payload = recovery.early.pop(0)
            # Else what came before let the program end the connection: the rest is for nobody.
            if self.state != GONE:
                self._take(segment.sender, seq, payload)

    def _take(self, sender: Endpoint, seq: int, payload: bytes) -> None:
        """Take bytes or FIN whose turn it is, or that arrived before."""
        if sender._recovery is not None:
            sender._recovery.got_through()
        if seq + (len(payload) or 1) <= self.received:
            return
        if payload == FIN:
            self._receive_fin(sender)
        elif self.state == CLOSING:
            self._answer_with_reset()  # bytes for a program that has closed
            self.vanish()
        else:
            self._receive_bytes(sender, payload[self.received - seq :])

    @property
    def _acknowledges_later(self) -> bool:
        return self._recovery is not None and self._recovery.ack_due

    def _receive_bytes(self, sender: Endpoint, payload: bytes) -> None:
        self.received += len(payload)
        if self._network.tap is not None and not self._acknowledges_later:
            self.show("A", self.sent, b"", lost=False)
        self.arrived(payload)
        if sender._blocked:
            sender.unblock()

    def _receive_fin(self, sender: Endpoint) -> None:
        self.received += 1
        self._fin_received = True
        if not self._acknowledges_later:
            self.show("A", self.sent, b"", lost=False)
        self.connection.report("fin", sender.side)
        if self.state == OPEN:
            self.peer_finished()
        self._finish()

    def reset_received(self, by: Side) -> None:
        """Take an RST that arrived. Where nobody knows the connection any more either, because each side's
        RST crossed the other's, it still is what ended it."""
        self.connection.report("rst", by)
        if self.state in (OPEN, CLOSING):
            self.fail(ConnectionResetError(errno.ECONNRESET, "connection reset by peer"))
        elif self.state == SYN_RECEIVED:
            self.vanish()

    def reset_by_network(self) -> None:
        """Reset it for something in between, which sends RST in the peer's name."""
        self.peer.show("R", self.received, b"", lost=False)
        self._network.clock.call_later(0.0, lambda: self.reset_received("node"))

    def established(self) -> None:
        """Open the client's side: its SYN was answered."""
        self.state = OPEN
        if self.window is None:
            self._transmit(ACK, 0, self._env._now)
        else:
            self._recovering().acknowledge_soon()
        done, self.on_done = self.on_done, None
        if done is not None:
            done(None)
        # `done` is the program's, and may have closed it.
        if self.state == OPEN:
            self.connected()

    def acknowledge_soon(self) -> None:
        """Say once more what was received."""
        self._recovering().acknowledge_soon()

    def _accept(self) -> bool:
        """Hand the connection to the listening program, if there still is one: the handshake is complete."""
        listener = self.host.listener(self.port)
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
        """End it, both FINs having arrived: nothing is left to do."""
        if self.state == CLOSING and self._fin_received and self.peer._fin_received:
            self.vanish()
            if self.peer.state == CLOSING:
                self.peer.vanish()
            else:  # its kernel would repeat the FIN until TIME_WAIT has answered
                self.peer._stop_watching()

    def fail(self, error: OSError) -> None:
        """End with an error; the program is told unless it has closed."""
        self.error = error
        # Asked now: `vanish` makes it GONE.
        told = self.state != CLOSING
        done, self.on_done = self.on_done, None
        self.vanish()
        if done is not None:
            done(error)
        elif told:
            self.failed()
        self.detach()

    def vanish(self) -> None:
        """Forget this connection, as its host does; nobody is told."""
        self.state = GONE
        if self._recovery is not None:
            self._recovery.forget()
        self.connection.release()

    def _stop_watching(self) -> None:
        if self._recovery is not None:
            self._recovery.stop()

    # --- for a capture ---

    def show(self, flags: str, seq: int, payload: bytes, lost: bool) -> None:
        tap = self._network.tap
        if tap is not None and self.host.link.state != "off":  # without a WLAN nothing is transmitted
            tap.segment(self, flags, seq, self.received, payload, lost)


def _cross(segment: Segment[Endpoint]) -> None:
    """Bring a segment to its receiver, where it is due: the one path that must be fast."""
    sender = segment.sender
    if sender._pending is segment:  # nothing can join it any more, and its bytes would be kept until the next
        sender._pending = None
    receiver = sender.peer
    payload = segment.payload
    if not sender.path_up:
        sender.swallowed(segment)
    elif (
        payload
        and receiver.state == OPEN
        and segment.seq == receiver.received
        and (receiver._recovery is None or not receiver._recovery.early)
    ):
        receiver.received += len(payload)  # as `_receive_bytes` does, without a call
        if receiver._network.tap is not None and not receiver._acknowledges_later:
            receiver.show("A", receiver.sent, b"", lost=False)
        arrived = receiver.arrived  # of a `Stream` no method, which CPython would look for first
        arrived(payload)
        if sender._blocked:
            sender.unblock()
    else:
        receiver.receive(segment)


def _cross_watched(segment: WatchedSegment[Endpoint]) -> None:
    if segment.sender.path_up:
        segment.sender.peer.receive(segment)
    else:
        segment.sender.swallowed_watched(segment)


def _swallowed(segment: WatchedSegment[Endpoint]) -> None:
    segment.sender.swallowed_watched(segment)


def _reset_cross(reset: Segment[Endpoint]) -> None:
    sender = reset.sender
    if sender.path_up:
        sender.peer.reset_received(sender.side)
    else:
        sender._tell_held(None)


def _reset_swallowed(reset: Segment[Endpoint]) -> None:
    reset.sender._tell_held(None)


# SimPy runs an event's callbacks; these tuples are shared by all segments.
_CROSS = (_cross,)
_CROSS_WATCHED = (_cross_watched,)
_SWALLOWED = (_swallowed,)
_RESET_CROSS = (_reset_cross,)
_RESET_SWALLOWED = (_reset_swallowed,)
