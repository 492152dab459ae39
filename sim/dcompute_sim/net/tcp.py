"""One TCP connection in virtual time: two endpoints, the segments between them, and every way it can end.

The rules, because programs can observe them:

* Bytes arrive once, in order, or the connection ends in an error [RFC 9293, 3.4]. What arrives beyond a gap
  is kept until the gap is filled [RFC 9293, 3.10.7.4], and the sender is told what that is [RFC 2018].
* A segment that does not cross, or whose acknowledgement does not, is sent again: when the timer expires that
  the measured round trip sets, backing off exponentially [RFC 6298], not at the moment the link heals; or
  when later segments have arrived [RFC 5681, RFC 6675]. Past the kernel's limit the sender sees ETIMEDOUT and
  tells nobody.
* A window limits what is under way, and shrinks with each loss [RFC 5681]; `send_window` has it all.
* An acknowledgement rides on a segment that leaves at the same instant, or alone. It may be lost, and is
  never sent again by itself: the next one says the same and more.
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

What was tried and rejected:

* One fixed timeout, as this file had (0.2 s): on a round trip of 600 ms everything is sent three times, and a
  narrow link collapses at a tenth of its capacity; and nobody ever died of 30 % loss, where real nodes do.
* Watching always: 2.5 times the events, on links where no program can tell.
* Counting acknowledgements as arrived, without events: then a lost acknowledgement cannot make a healthy
  sender back off, which on bad links is half of all that goes wrong.
* Delayed acknowledgements (40 ms): they add less than the jitter of any link that is watched. Here each waits
  for the end of the instant, which is what lets an answer carry it.

Not modelled: TIME_WAIT and the timers of closed programs' connections, the receiver's window (a send buffer
stands for it), sequence numbers a stranger could guess, a queue on a narrow link that overflows.
"""

from __future__ import annotations

import errno
from bisect import insort
from collections.abc import Callable, Iterator
from heapq import heappush
from typing import Any, Final, Protocol

from simpy import Environment
from simpy.events import NORMAL

from dcompute_sim.net.clock import Clock, Timer
from dcompute_sim.net.link import Link, State
from dcompute_sim.net.observer import Direction, How, Side, WireObserver
from dcompute_sim.net.profile import TcpProfile
from dcompute_sim.net.send_window import MSS, SendWindow, Sent

# States of an endpoint, as a program and its kernel know them.
CONNECTING: Final = 0  # client: SYN sent; server: no SYN arrived
OPEN: Final = 1
CLOSING: Final = 2  # the program has closed; the kernel still delivers bytes and FIN
GONE: Final = 3  # the host knows nothing of it (any more)
SYN_RECEIVED: Final = 4  # server: the SYN is answered, the program not yet told

_LATE_S: Final = 1.0  # a lost segment that comes no sooner is told of, as a lost retransmission is

# What a segment carries besides bytes.
_FIN: Final = b""  # end of stream, as recv() shows it
_ACK: Final = None  # nothing: an acknowledgement


class Tap(Protocol):
    """Sees every segment when it leaves its sender, and every change of a link."""

    def segment(self, sender: Endpoint, flags: str, seq: int, ack: int, payload: bytes, lost: bool) -> None:
        """`flags`: of S, A, P, F, R. `seq` and `ack` count from 0, the SYN. `lost`: known to go nowhere."""

    def link(self, host: Kernel, state: State) -> None: ...


class Medium(Protocol):
    """What all connections of a run share."""

    env: Environment
    clock: Clock
    observer: WireObserver
    tap: Tap | None

    @property
    def connections(self) -> Iterator[int]:
        """Numbers those that are accepted."""


class Opening(Protocol):
    """The handshake of a connection that is not accepted yet."""

    def accepted(self) -> None: ...

    def unanswered(self) -> None:
        """Its third part is lost."""


class Acceptor(Protocol):
    """Who listens on a port."""

    def accept(self, stream: Endpoint) -> None: ...


class Kernel(Protocol):
    """The host of an endpoint."""

    name: str
    index: int
    tcp: TcpProfile
    powered: bool
    link: Link

    @property
    def network(self) -> Medium: ...

    @property
    def connections(self) -> dict[TcpConnection, None]: ...

    def listener(self, port: int) -> Acceptor | None: ...


class Segment:
    """Bytes (or FIN, or an acknowledgement) on their way; to SimPy, an event that succeeded."""

    __slots__ = ("callbacks", "payload", "sender", "sent_at_s", "seq")
    _ok = True
    callbacks: object

    def __init__(self, sender: Endpoint, seq: int, payload: bytes | None, sent_at_s: float) -> None:
        self.sender = sender
        self.seq = seq
        self.payload = payload
        self.sent_at_s = sent_at_s


class WatchedSegment(Segment):
    """One that says what its sender has received. `again`: it was sent before."""

    __slots__ = ("ack", "again", "beyond", "echo_s")

    ack: int
    beyond: tuple[tuple[int, int], ...]
    echo_s: float
    again: bool


class TcpConnection:
    """What both endpoints share: who they are, and what the observer was told."""

    __slots__ = ("_reported", "clean", "client", "key", "name", "network", "number", "opening", "server")

    client: Endpoint
    server: Endpoint

    def __init__(self, network: Medium, key: int, name: str) -> None:
        self.network = network
        self.key = key  # counts attempts
        self.name = name
        self.number = 0  # counts accepted connections, as the observer is told; 0 before
        self.clean = True  # nothing on the way is silent, lossy or narrow
        self.opening: Opening | None = None
        self._reported = False

    def opened(self) -> None:
        opening, self.opening = self.opening, None
        if opening is not None:
            opening.accepted()
        self.number = next(self.network.connections)
        self.network.observer.opened(self.name, self.number)

    def report(self, how: How, by: Side) -> None:
        """Tell the observer, once, how the connection ended."""
        if self.number and not self._reported:
            self._reported = True
            quiet_s = self.network.env.now - self.client.spoke_at_s
            self.network.observer.closed(self.name, self.number, how, by, quiet_s)

    def watch(self) -> None:
        """From now on keep what is sent until it is acknowledged."""
        self.client.watch()
        self.server.watch()

    def refresh(self) -> None:
        """A host or link changed: find out anew what crosses, and which links have a say in it."""
        client, server = self.client, self.server
        links = (client.host.link, server.host.link)
        up = links[0].is_up and links[1].is_up
        slow_links = tuple(link for link in links if not link.ideal)
        powered = client.host.powered and server.host.powered
        self.clean = up and powered and not any(link.unsteady for link in slow_links)
        for end in (client, server):
            end.path_up = up and end.peer.host.powered
            end.slow_links = slow_links if end is client else slow_links[::-1]
            if self.clean:
                end.unwatch()
            else:
                end.watch()

    def release(self) -> None:
        """Forget a connection both ends of which are gone."""
        if self.client.state == GONE and self.server.state == GONE:
            self.client.host.connections.pop(self, None)
            self.server.host.connections.pop(self, None)


class Endpoint:
    """One side of a connection: its kernel's part. `Socket` and `Stream` add the program's."""

    __slots__ = (
        "_ack_due",
        "_arrival_s",
        "_blocked",
        "_early",
        "_echo_s",
        "_env",
        "_fin_received",
        "_fin_sent",
        "_flush_due",
        "_network",
        "_pending",
        "_pending_at_s",
        "_stalled",
        "_timer",
        "_timer_at_s",
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
        "window",
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
        self._pending: Segment | None = None  # the newest segment, which a write at the same instant joins
        self._pending_at_s = 0.0
        self._arrival_s = 0.0  # of the newest segment: later ones do not overtake it
        self._blocked = False  # the program was told that the send buffer is full
        # While it is watched, else None:
        self.window: SendWindow | None = None
        self._timer: Timer | None = None
        self._timer_at_s = 0.0
        self._early: list[tuple[int, bytes]] | None = None  # arrived beyond a gap
        self._ack_due = False
        self._echo_s = 0.0  # when that was sent which the next acknowledgement answers
        self._flush_due = False
        self._stalled = False  # client: something went nowhere and comes late, and nothing got through since

    # --- for the program's part ---

    @property
    def is_watched(self) -> bool:
        """Whether something was lost, or goes slowly, and may have to be sent again."""
        return self.window is not None or self._timer is not None

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
            if self.window is None:
                self._transmit(_FIN, 1)
            else:
                self._put(_FIN, 1)

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

    # --- sending over a link that is well ---

    def send_bytes(self, data: bytes) -> None:
        """Put `data` on the wire; a write at the same instant joins the segment before."""
        self.spoke_at_s = self._env._now
        if self.window is not None:
            self._put(data, len(data))
            return
        pending = self._pending
        if (
            self._pending_at_s == self._env._now
            and pending is not None
            and pending.callbacks is not None  # still under way
            and pending.payload
            and len(pending.payload) < MSS
        ):
            pending.payload += data
            self._show("PA", self.sent, data, lost=False)
            self.sent += len(data)
            return
        self._transmit(data, len(data))

    def _transmit(self, payload: bytes | None, length: int) -> None:
        env = self._env
        now_s = self._pending_at_s = env._now
        segment = self._pending = Segment(self, self.sent, payload, now_s)
        segment.callbacks = _CROSS
        arrival_s = now_s
        for link in self.slow_links:
            arrival_s += link.delay_s(length, now_s)
        # Jitter lets no segment overtake another: in order, they take the short way through `_cross`.
        if arrival_s < self._arrival_s:
            arrival_s = self._arrival_s
        self._arrival_s = arrival_s
        # As `env.schedule` does, without its way from the time to a delay and back.
        entry: Any = (arrival_s, NORMAL, next(env._eid), segment)
        heappush(env._queue, entry)
        if self._network.tap is not None:
            self._show(_flags(payload), self.sent, payload or b"", lost=False)
        self.sent += length

    # --- sending over one that is not ---

    def watch(self) -> None:
        """From now on keep what is sent until it is acknowledged."""
        if self.window is None and self.state != GONE:
            window = self.window = SendWindow(self.host.tcp)
            if self.state in (OPEN, CLOSING):
                links = (self.host.link, self.peer.host.link)
                trips = [link.round_trip_s() for link in links]
                window.round_trip.settled(sum(mean for mean, _ in trips), sum(off for _, off in trips))

    def unwatch(self) -> None:
        """Stop that, once all has arrived."""
        if self.window is not None and self.window.idle:
            self._stop_watching()

    def measured(self, round_trip_s: float) -> None:
        """The handshake took that long."""
        if self.window is not None:
            self.window.round_trip.measured(round_trip_s)

    def _put(self, payload: bytes, length: int) -> None:
        window = self.window
        assert window is not None
        if (
            window.attempts and not self.path_up
        ):  # what waits behind a retransmission meets the silence as well
            self._tell_held(payload)
        window.put(self.sent, payload)
        self.sent += length
        self._flush_soon()

    def _flush_soon(self) -> None:
        """At the end of this instant, when all writes of it are joined, send what may go."""
        if not self._flush_due:
            self._flush_due = True
            self._network.clock.call_later(0.0, self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        window = self.window
        now_s = self._env._now
        if self.state == GONE:
            return
        if window is not None:
            while (each := window.take(now_s)) is not None:
                self._emit(each.seq, each.payload, each)
            self._set_timer(window)
        if self._ack_due:
            # Alone, an acknowledgement carries the number of what goes next, SND.NXT [RFC 9293, 3.10.7.4],
            # which is not `sent` while bytes that are written wait for room in the window.
            self._emit(
                self.sent if window is None or not window.waiting else window.waiting[0].seq, _ACK, None
            )

    def _emit(self, seq: int, payload: bytes | None, each: Sent | None) -> None:
        """Transmit one segment, which says what was received."""
        env = self._env
        now_s = env._now
        segment = WatchedSegment(self, seq, payload, now_s)
        segment.ack, segment.beyond, segment.echo_s = self.received, self._beyond(), self._echo_s
        segment.again = each is not None and each.again > 0
        self._ack_due = False
        lost = not self._launch(segment, len(payload or b""), _CROSS_WATCHED, _SWALLOWED)
        self._show(_flags(payload), seq, payload or b"", lost)
        window = self.window
        if lost and each is not None and window is not None and window.deadline_s is not None:
            late = self.path_up and window.deadline_s - now_s >= _LATE_S
            if window.attempts or late:
                self._tell_stalled()

    def _launch(self, segment: Segment, length: int, crosses: object, swallowed: object) -> bool:
        """Schedule the segment's arrival, where it is found whether the links are up then; whether, as far as
        one knows now, it crosses."""
        env = self._env
        now_s = env._now
        arrival_s = max(now_s + self.crossing_s(length, now_s), self._arrival_s)
        if not self.path_up:
            segment.callbacks = swallowed
        elif self.loses():
            return False
        else:
            segment.callbacks = crosses
        self._arrival_s = arrival_s
        entry: Any = (arrival_s, NORMAL, next(env._eid), segment)
        heappush(env._queue, entry)
        return self.path_up

    def crossing_s(self, length: int, now_s: float) -> float:
        """How long a segment of `length` bytes sent now takes to the other side."""
        delay_s = 0.0
        for link in self.slow_links:
            delay_s += link.delay_s(length + self.host.tcp.header_bytes, now_s)
        return delay_s

    def loses(self) -> bool:
        """Draw whether a segment sent now is lost on the way."""
        return any(link.loss > 0 and link.loses() for link in self.slow_links)

    def _send_reset(self, seq: int) -> None:
        reset = Segment(self, seq, None, self._env._now)
        crosses = self._launch(reset, 0, _RESET_CROSS, _RESET_SWALLOWED)
        self._show("RA", seq, b"", not crosses)

    def _beyond(self) -> tuple[tuple[int, int], ...]:
        if not self._early:
            return ()
        ranges: list[tuple[int, int]] = []
        for seq, payload in self._early:
            end = seq + (len(payload) or 1)
            if ranges and seq <= ranges[-1][1]:
                ranges[-1] = (ranges[-1][0], max(end, ranges[-1][1]))
            else:
                ranges.append((seq, end))
        return tuple(ranges)

    # --- the timer ---

    def _set_timer(self, window: SendWindow) -> None:
        """Run until the window's deadline; one that has moved away is looked at when it is due."""
        due_s = window.deadline_s
        if due_s is None or (self._timer is not None and self._timer_at_s <= due_s):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at_s = due_s
        self._timer = self._network.clock.call_at(due_s, self._timer_due)

    def _timer_due(self) -> None:
        self._timer = None
        window = self.window
        if window is None or window.deadline_s is None:
            return
        if window.deadline_s > self._env._now:
            self._set_timer(window)
        elif window.gives_up:
            self.connection.report("timeout", self.side)
            self.fail(TimeoutError(errno.ETIMEDOUT, "connection timed out: retransmissions went unanswered"))
        else:
            window.expire(self._env._now)
            self._flush()

    def _tell_held(self, payload: bytes | None) -> None:
        direction: Direction = "to_broker" if self.side == "node" else "to_node"
        self._network.observer.held(self.connection.name, direction, len(payload or b""))

    def _tell_stalled(self) -> None:
        if self.side == "node" and not self._stalled and self.connection.number:
            self._stalled = True
            self._network.observer.stalled(self.connection.name, self.connection.number)

    def _tell_resumed(self) -> None:
        if self._stalled:
            self._stalled = False
            self._network.observer.resumed(self.connection.name, self.connection.number)

    # --- what was sent did not cross ---

    def swallowed(self, segment: Segment) -> None:
        """Silence met a segment that was not watched: from now on it is."""
        if self.state == GONE:
            return
        payload = segment.payload
        self._tell_held(payload)
        if payload is not _ACK:
            self.watch()
            window = self.window
            assert window is not None
            window.put_back(segment.seq, payload, segment.sent_at_s, self._env._now)
            self._set_timer(window)
        elif self.connection.opening is not None:
            self.connection.opening.unanswered()

    def swallowed_watched(self, segment: WatchedSegment) -> None:
        """Silence met one that is: its timer runs."""
        if self.state != GONE and segment.payload is not _ACK and not segment.again:
            self._tell_held(segment.payload)

    # --- receiving ---

    def receive(self, segment: Segment) -> None:
        """A segment reached this host; the common case is handled before (`_cross`)."""
        if self.state == SYN_RECEIVED and not self._accept():
            return
        payload = segment.payload
        if self.state == GONE:
            if payload is not _ACK or segment.sender.state != GONE:
                self._answer_with_reset()
            return
        if isinstance(segment, WatchedSegment):
            self._take_acknowledgement(segment)
            if payload is not _ACK:
                self._ack_due = True
                # Not of a segment beyond a gap: echoed is the time of the one that fills it [RFC 7323, 4.3].
                if segment.seq <= self.received:
                    self._echo_s = segment.sent_at_s
                self._flush_soon()
        if payload is _ACK:
            return
        if segment.seq > self.received:  # an earlier one is missing
            if self._early is None:
                self._early = []
            insort(self._early, (segment.seq, payload))
            return
        self._take(segment.sender, segment.seq, payload)
        while self._early and self._early[0][0] <= self.received:
            seq, payload = self._early.pop(0)
            # Else what came before let the program end the connection: the rest is for nobody.
            if self.state != GONE:
                self._take(segment.sender, seq, payload)

    def _take(self, sender: Endpoint, seq: int, payload: bytes) -> None:
        """Bytes or FIN whose turn it is, or that arrived before."""
        sender._tell_resumed()
        if seq + (len(payload) or 1) <= self.received:
            return
        if payload == _FIN:
            self._receive_fin(sender)
        elif self.state == CLOSING:
            self._answer_with_reset()  # bytes for a program that has closed
            self.vanish()
        else:
            self._receive_bytes(sender, payload[self.received - seq :])

    def _take_acknowledgement(self, segment: WatchedSegment) -> None:
        window = self.window
        if window is None:
            return
        window.acknowledge(segment.ack, segment.beyond, segment.echo_s, self._env._now)
        if not window.attempts:
            self._tell_resumed()
        if window.idle:
            if self.connection.clean:
                self.unwatch()
        elif window.may_send:
            self._flush_soon()
        else:
            self._set_timer(window)

    def _receive_bytes(self, sender: Endpoint, payload: bytes) -> None:
        self.received += len(payload)
        if self._network.tap is not None and not self._ack_due:
            self._show("A", self.sent, b"", lost=False)
        self.arrived(payload)
        if sender._blocked:
            sender.unblock()

    def _receive_fin(self, sender: Endpoint) -> None:
        self.received += 1
        self._fin_received = True
        if not self._ack_due:
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
        if self.window is None:
            self._transmit(_ACK, 0)
        else:
            self.acknowledge_soon()
        done, self.on_done = self.on_done, None
        if done is not None:
            done(None)
        # `done` is the program's, and may have closed it.
        if self.state == OPEN:
            self.connected()

    def acknowledge_soon(self) -> None:
        """Say once more what was received."""
        self._ack_due = True
        self._flush_soon()

    def _accept(self) -> bool:
        """The handshake is complete: hand the connection to the listening program, if there still is one."""
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
        """Both FINs have arrived: nothing is left to do."""
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
        """The host knows nothing of this connection any more; nobody is told."""
        self.state = GONE
        self._early = None
        self._stop_watching()
        self.connection.release()

    def _stop_watching(self) -> None:
        self.window = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- for a capture ---

    def _show(self, flags: str, seq: int, payload: bytes, lost: bool) -> None:
        tap = self._network.tap
        if tap is not None and self.host.link.state != "off":  # without a WLAN nothing is transmitted
            tap.segment(self, flags, seq, self.received, payload, lost)


def _flags(payload: bytes | None) -> str:
    return "PA" if payload else ("FA" if payload is not None else "A")


def _cross(segment: Segment) -> None:
    """A segment is due at its receiver: the one path that must be fast."""
    sender = segment.sender
    receiver = sender.peer
    payload = segment.payload
    if not sender.path_up:
        sender.swallowed(segment)
    elif payload and receiver.state == OPEN and segment.seq == receiver.received and not receiver._early:
        receiver._receive_bytes(sender, payload)
    else:
        receiver.receive(segment)


def _cross_watched(segment: WatchedSegment) -> None:
    if segment.sender.path_up:
        segment.sender.peer.receive(segment)
    else:
        segment.sender.swallowed_watched(segment)


def _swallowed(segment: WatchedSegment) -> None:
    segment.sender.swallowed_watched(segment)


def _reset_cross(reset: Segment) -> None:
    sender = reset.sender
    if sender.path_up:
        sender.peer.reset_received(sender.side)
    else:
        sender._tell_held(None)


def _reset_swallowed(reset: Segment) -> None:
    reset.sender._tell_held(None)


# SimPy runs an event's callbacks; these tuples are shared by all segments.
_CROSS = (_cross,)
_CROSS_WATCHED = (_cross_watched,)
_SWALLOWED = (_swallowed,)
_RESET_CROSS = (_reset_cross,)
_RESET_SWALLOWED = (_reset_swallowed,)
