"""How an endpoint recovers what a bad link loses: retransmission, acknowledgements, and bytes beyond a gap.

The rules:

* A segment that does not cross, or whose acknowledgement does not, is sent again: when the timer expires that
  the measured round trip sets, backing off exponentially [RFC 6298], or when later segments have arrived [RFC
  5681, RFC 6675]. What is sent when, `send_window` decides; here are its timer and its segments.
* An acknowledgement rides on a segment that leaves at the same instant, or alone. It may be lost, and is
  never sent again by itself: the next one says the same and more.
* What arrives beyond a gap is kept until the gap is filled [RFC 9293, 3.10.7.4], and the sender is told what
  that is [RFC 2018].
* What goes nowhere and comes late is told, once, until something gets through: from then on nobody can say of
  the connection's silence that its program is to blame. What was ahead of it may get through: if it is still
  missing when that is acknowledged, it is told of again.

An endpoint has one of these from the first moment on that its connection is watched, or that it gets
something of an endpoint which is; it outlives the watching, for an acknowledgement may still be due, or a gap
be open.

What was tried and rejected:

* One fixed timeout (0.2 s): on a round trip of 600 ms everything is sent three times, and a narrow link
  collapses at a tenth of its capacity; and nobody ever died of 30 % loss, where real nodes do.
* Counting acknowledgements as arrived, without events: then a lost acknowledgement cannot make a healthy
  sender back off, which on bad links is half of all that goes wrong.
* Delayed acknowledgements (40 ms): they add less than the jitter of any link that is watched. Here each waits
  for the end of the instant, which is what lets an answer carry it.
"""

from __future__ import annotations

from bisect import insort
from typing import Any, Final, Protocol

from dcompute_sim.net.clock import Clock, Timer
from dcompute_sim.net.loss_probes import ProbingWindow
from dcompute_sim.net.profile import TcpProfile
from dcompute_sim.net.segment import ACK, WatchedSegment, flags_of
from dcompute_sim.net.send_window import SendWindow, Sent

_LATE_S: Final = 1.0  # a lost segment that comes no sooner is told of, as a lost retransmission is


class RecoveringEnd(Protocol):
    """What is asked of the endpoint."""

    path_up: bool
    sent: int
    received: int

    def launch(self, segment: WatchedSegment[Any], length: int, missed_s: float) -> bool: ...
    def show(self, flags: str, seq: int, payload: bytes, lost: bool) -> None: ...
    def tell_stalled(self, missed_s: float) -> bool: ...
    def tell_resumed(self) -> None: ...
    def give_up(self) -> None: ...


class Recovery:
    """What one endpoint has to send again, and to acknowledge.

    Args:
        end: whose.
        kernel: whose constants hold.
        clock: of the run.
    """

    __slots__ = (
        "_clock",
        "_echo_s",
        "_end",
        "_flush_due",
        "_gone",
        "_kernel",
        "_stalled",
        "_timer",
        "_timer_at_s",
        "_twice",
        "ack_due",
        "early",
        "window",
    )

    def __init__(self, end: RecoveringEnd, kernel: TcpProfile, clock: Clock) -> None:
        self._end = end
        self._kernel = kernel
        self._clock = clock
        self.window: SendWindow | None = None  # while it is watched
        self.early: list[tuple[int, bytes]] = []  # arrived beyond a gap
        self.ack_due = False
        self._twice = False  # what the next acknowledgement answers had arrived before
        self._echo_s = 0.0  # when that was sent which the next acknowledgement answers
        self._flush_due = False
        self._stalled = False  # something went nowhere and comes late, and nothing got through since
        self._timer: Timer | None = None
        self._timer_at_s = 0.0
        self._gone = False

    @property
    def is_running(self) -> bool:
        """Something may have to be sent again."""
        return self.window is not None or self._timer is not None

    @property
    def is_backing_off(self) -> bool:
        """Something was sent again, and not acknowledged."""
        return self.window is not None and self.window.is_doubtful

    def begin(self) -> SendWindow:
        """Keep what is sent from now on until it is acknowledged."""
        self.window = SendWindow(self._kernel)
        return self.window

    def probe(self) -> None:
        """Probe for losses from now on: both kernels know RACK-TLP."""
        if self.window is not None and not isinstance(self.window, ProbingWindow):
            self.window = ProbingWindow(self._kernel, self.window)

    def stop(self) -> None:
        """Keep nothing any longer."""
        self.window = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def forget(self) -> None:
        """Forget the connection, as its host does: nothing is sent, whatever was due."""
        self._gone = True
        self.early.clear()
        self.stop()

    # --- sending ---

    def put(self, seq: int, payload: bytes) -> None:
        """Send bytes (none: FIN) as soon as the window allows."""
        assert self.window is not None
        self.window.put(seq, payload, self._clock.env._now)
        if not self.window.joins_writes:
            self._send(self.window)
        self._flush_soon()

    def put_back(self, seq: int, payload: bytes, sent_at_s: float) -> None:
        """Know of a segment that met silence unwatched."""
        assert self.window is not None
        self.window.put_back(seq, payload, sent_at_s, self._clock.env._now)
        self._set_timer(self.window)
        self._tell_missing(self.window)

    def acknowledge_soon(self) -> None:
        """Say once more what was received."""
        self.ack_due = True
        self._flush_soon()

    def _flush_soon(self) -> None:
        """Send what may go at the end of this instant, when all writes of it are joined."""
        if not self._flush_due:
            self._flush_due = True
            self._clock.call_later(0.0, self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        if self._gone:
            return
        window = self.window
        if window is not None:
            self._send(window)
        if self.ack_due:
            # Alone, an acknowledgement carries the number of what goes next, SND.NXT [RFC 9293, 3.10.7.4],
            # which is not `sent` while bytes that are written wait for room in the window.
            next_seq = self._end.sent if window is None or not window.waiting else window.waiting[0].seq
            self._emit(next_seq, ACK, None)

    def _send(self, window: SendWindow) -> None:
        """Transmit what may go."""
        while (each := window.take(self._clock.env._now)) is not None:
            self._emit(each.seq, each.payload, each)
        self._set_timer(window)

    def _emit(self, seq: int, payload: bytes | None, each: Sent | None) -> None:
        """Transmit one segment, which says what was received."""
        end = self._end
        now_s = self._clock.env._now
        segment: WatchedSegment[object] = WatchedSegment()
        segment.sender, segment.seq, segment.payload, segment.sent_at_s = end, seq, payload, now_s
        segment.ack, segment.beyond, segment.echo_s = end.received, self._beyond(), self._echo_s
        segment.again = each is not None and each.again > 0
        segment.twice = self._twice
        self.ack_due = self._twice = False
        lost = not end.launch(segment, len(payload or b""), 0.0 if each is None else now_s - each.written_s)
        end.show(flags_of(payload), seq, payload or b"", lost)
        window = self.window
        if each is not None and window is not None:
            each.went_nowhere = lost
            if lost:
                self._tell_missing(window)

    def _tell_missing(self, window: SendWindow) -> None:
        """Tell of what went nowhere when it was sent again, or is not for a while."""
        if self._stalled or window.deadline_s is None:
            return
        if not any(each.went_nowhere and not each.lost for each in window.sent):
            return
        now_s = self._clock.env._now
        if window.is_doubtful or window.deadline_s - now_s >= _LATE_S:
            self._stalled = self._end.tell_stalled(now_s - window.sent[0].written_s)

    def _beyond(self) -> tuple[tuple[int, int], ...]:
        ranges: list[tuple[int, int]] = []
        for seq, payload in self.early:
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
        self._timer = self._clock.call_at(due_s, self._timer_due)

    def _timer_due(self) -> None:
        self._timer = None
        window = self.window
        if window is None or window.deadline_s is None:
            return
        if window.deadline_s > self._clock.env._now:
            self._set_timer(window)
        elif window.gives_up:
            self._end.give_up()
        else:
            window.expire(self._clock.env._now)
            self._flush()

    # --- receiving ---

    def arrived(self, segment: WatchedSegment[object], clean: bool) -> None:
        """Take the acknowledgement in, and acknowledge what it brought.

        Args:
            clean: the link is well: nothing need be watched once all has arrived.
        """
        window = self.window
        if window is not None:
            missing = window.sent[0] if window.sent else None
            now_s = self._clock.env._now
            window.acknowledge(segment.ack, segment.beyond, segment.twice, segment.echo_s, now_s)
            # What comes the other way acknowledges nothing, and says nothing of what is missing.
            if not window.is_doubtful and (
                missing is None or not window.sent or window.sent[0] is not missing
            ):
                self.got_through()
            self._tell_missing(window)
            if window.idle:
                if clean:
                    self.stop()
            elif window.may_send:
                self._flush_soon()
            else:
                self._set_timer(window)
        if segment.payload is not ACK:
            # Not of a segment beyond a gap: echoed is the time of the one that fills it [RFC 7323, 4.3].
            if segment.seq <= self._end.received:
                self._echo_s = segment.sent_at_s
            if segment.seq + (len(segment.payload) or 1) <= self._end.received:
                self._twice = True
            self.acknowledge_soon()

    def keep(self, seq: int, payload: bytes) -> None:
        """Keep what arrived beyond a gap."""
        insort(self.early, (seq, payload))

    def got_through(self) -> None:
        """Take note that something crossed: the silence, if one was told of, is over."""
        if self._stalled:
            self._stalled = False
            self._end.tell_resumed()
