"""What one side of a TCP connection has sent and not heard of, and when it sends that again: a plain state
machine.

Rules:

* What is sent stays here until a cumulative acknowledgement covers it [RFC 9293, 3.8]. What the receiver
  holds beyond a gap it says (selective acknowledgements, RFC 2018); that is not sent again.
* One timer, for the oldest segment [RFC 6298, 5]: when it expires, everything that is not known to have
  arrived counts as lost, the timeout doubles, the window is one segment. New acknowledgements end the backoff
  and restart the timer; only segments sent once measure the round trip (Karn), or all where timestamps tell
  which copy arrived.
* A segment is lost before that when three that were sent later have arrived [RFC 6675, 4]; when fewer are
  under way and nothing waits, all but one of them [RFC 5827]. "Later" is by time of sending, so that a lost
  retransmission is noticed as well [RFC 8985, 3]. Once in a round trip the window is halved [RFC 5681, 3.2].
* The window grows by what was acknowledged below the threshold and by one a round trip above it [RFC 5681,
  3.1], counted in segments as Linux does, and only while it is what limits [RFC 7661].
* What is sent again after a timeout is joined with its neighbours to a full segment
  (tcp_retrans_try_collapse): with a window of one, twenty small packets would need as many round trips.

Where both kernels can, `loss_probes` has more rules, Linux's.

Not modelled, each because no program here could tell: CUBIC's growth, proportional rate reduction, undoing a
spurious timeout, and the receiver's window, which `send_buffer_bytes` stands for. lwIP does not name what it
holds beyond a gap; here it does.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable

from dcompute_sim.net.profile import TcpProfile

MSS = 1460
DUPLICATES = 3
_NO_THRESHOLD = float("inf")


class Sent:
    """Bytes (or FIN: empty, and counting one) that are to arrive."""

    __slots__ = (
        "again",
        "arrived",
        "end",
        "lost",
        "payload",
        "sent_at_s",
        "seq",
        "went_nowhere",
        "written_s",
    )

    def __init__(self, seq: int, payload: bytes, written_s: float) -> None:
        self.seq = seq
        self.payload = payload
        self.written_s = written_s  # its first byte, by the program
        self.end = seq + (len(payload) or 1)
        self.sent_at_s = 0.0  # the last time
        self.again = 0  # how often it was sent again
        self.arrived = False  # the receiver holds it beyond a gap
        self.lost = False  # to be sent again
        self.went_nowhere = False  # the last time, which the sender does not know

    def __lt__(self, other: Sent) -> bool:
        return self.seq < other.seq


class SendWindow:
    """Keeps what a sender has on its way, and decides what goes next.

    Args:
        kernel: whose constants hold.
    """

    joins_writes = True
    """Writes of one instant travel together."""

    __slots__ = (
        "_kernel",
        "_recover_to",
        "_threshold",
        "attempts",
        "deadline_s",
        "doubtful_since_s",
        "round_trip",
        "sent",
        "size",
        "waiting",
    )

    def __init__(self, kernel: TcpProfile) -> None:
        self._kernel = kernel
        self.round_trip = kernel.round_trip()
        self.sent: list[Sent] = []  # in order of sequence
        self.waiting: deque[Sent] = deque()  # not sent yet
        self.size: float = kernel.initial_window  # segments that may be under way
        self._threshold = _NO_THRESHOLD
        self._recover_to = 0  # a loss below this is part of the last one
        self.attempts = 0  # timeouts since the last acknowledgement
        self.doubtful_since_s = 0.0  # the first of them
        self.deadline_s: float | None = None

    @property
    def idle(self) -> bool:
        """Everything has arrived."""
        return not self.sent and not self.waiting

    @property
    def may_send(self) -> bool:
        """`take` has something."""
        return bool(self.waiting or any(each.lost for each in self.sent)) and self._room()

    @property
    def is_doubtful(self) -> bool:
        """Something was sent again because nothing was heard of it, and still is not."""
        return self.attempts > 0

    @property
    def gives_up(self) -> bool:
        """The timer that expires now is the last."""
        deadline_s = self.deadline_s or 0.0
        kernel = self._kernel
        return 0 < self.attempts >= kernel.retries and deadline_s - self.doubtful_since_s >= kernel.patience_s

    def put(self, seq: int, payload: bytes, now_s: float) -> None:
        """Accept bytes (none: FIN); joined to full segments while they wait."""
        if not payload:
            self.waiting.append(Sent(seq, payload, now_s))
            return
        last = self.waiting[-1] if self.waiting else None
        if last is not None and last.payload:
            joined = payload[: max(0, MSS - len(last.payload))]
            last.payload += joined
            last.end += len(joined)
            seq, payload = seq + len(joined), payload[len(joined) :]
        for start in range(0, len(payload), MSS):
            self.waiting.append(Sent(seq + start, payload[start : start + MSS], now_s))

    def put_back(self, seq: int, payload: bytes, sent_at_s: float, now_s: float) -> None:
        """Know of a segment that was sent unwatched and did not arrive."""
        each = Sent(seq, payload, sent_at_s)
        each.sent_at_s = sent_at_s
        each.went_nowhere = True
        insort(self.sent, each)
        self._set_timer(sent_at_s, now_s)

    def take(self, now_s: float) -> Sent | None:
        """Return what is to be transmitted next, as far as the window allows; None when that is all."""
        if not self._room():
            return None
        for each in self.sent:
            if each.lost:
                each.lost = False
                each.again += 1
                break
        else:
            if not self.waiting:
                return None
            each = self.waiting.popleft()
            self.sent.append(each)
        each.sent_at_s = now_s
        if self.deadline_s is None:
            self._set_timer(now_s, now_s)
        return each

    def acknowledge(
        self, ack: int, beyond: Iterable[tuple[int, int]], twice: bool, echo_s: float, now_s: float
    ) -> None:
        """Take it that the receiver has everything before `ack`, and what lies within the ranges `beyond`.

        Args:
            twice: it had what it answers before [RFC 2883].
            echo_s: when the segment was sent that it answers (a timestamp option).
        """
        under_way = self._under_way()
        covered, _, progress = self._strike_out(ack, beyond)
        if not progress:
            return
        if covered:
            newest = covered[-1]
            if self._kernel.timestamps:
                self.round_trip.measured(now_s - echo_s)  # [RFC 7323, 4]
            elif not newest.again:
                self.round_trip.measured(now_s - newest.sent_at_s)
            self.attempts = 0
            self.deadline_s = None
            if self.sent:
                self._set_timer(now_s, now_s)
        if ack >= self._recover_to and under_way >= int(self.size):
            self._grow(progress)
        self._find_lost(under_way)

    def expire(self, now_s: float) -> None:
        """Act on the timer, which ran out."""
        if self.attempts == 0:
            self.doubtful_since_s = now_s
            self._threshold = max(self._under_way() / 2, 2)
        self.attempts += 1
        self.size = 1
        self._recover_to = 0
        for each in self.sent:
            each.lost = not each.arrived
        self._join_first()
        self._set_timer(now_s, now_s)

    def _strike_out(self, ack: int, beyond: Iterable[tuple[int, int]]) -> tuple[list[Sent], list[Sent], int]:
        """Return what is acknowledged now, all before it included; what is held beyond a gap and was not
        before; and how many of both are news."""
        covered: list[Sent] = []
        while self.sent and self.sent[0].end <= ack:
            covered.append(self.sent.pop(0))
        progress = sum(not each.arrived for each in covered)
        if self.sent and self.sent[0].seq < ack:  # joined when sent again, and its first part had arrived
            first = self.sent[0]
            first.payload = first.payload[ack - first.seq :]
            first.seq = ack
            progress += 1
        held: list[Sent] = []
        for since, until in beyond:
            for each in self.sent:
                if not each.arrived and since <= each.seq and each.end <= until:
                    each.arrived, each.lost = True, False
                    held.append(each)
        return covered, held, progress + len(held)

    def _grow(self, progress: int) -> None:
        self.size += progress if self.size < self._threshold else progress / self.size

    def _room(self) -> bool:
        return self._under_way() < int(self.size)

    def _under_way(self) -> int:
        return sum(not each.arrived and not each.lost for each in self.sent)

    def _set_timer(self, since_s: float, now_s: float) -> None:
        due_s = max(now_s, since_s + self._kernel.wait_s(self.round_trip.timeout_s, self.attempts))
        if self.deadline_s is None or self.attempts or due_s < self.deadline_s:
            self.deadline_s = due_s

    def _find_lost(self, under_way: int) -> None:
        arrived = [each for each in self.sent if each.arrived]
        if not arrived:
            return
        few = len(self.sent) <= DUPLICATES and not self.waiting
        enough = max(1, len(self.sent) - 1) if few else DUPLICATES
        for each in self.sent:
            if each.arrived or each.lost:
                continue
            later = sum((other.sent_at_s, other.seq) > (each.sent_at_s, each.seq) for other in arrived)
            if later >= enough:
                each.lost = True
                if each.seq >= self._recover_to:
                    self._threshold = self.size = max(under_way / 2, 2)
                    self._recover_to = self.sent[-1].end

    def _join_first(self) -> None:
        first = next((each for each in self.sent if each.lost), None)
        if first is None or not first.payload:
            return
        at = self.sent.index(first) + 1
        while at < len(self.sent):
            each = self.sent[at]
            # Between the two may lie what was sent unwatched and is not known to be lost yet (`put_back`).
            follows = each.seq == first.end
            if not follows or not each.lost or not each.payload or len(first.payload + each.payload) > MSS:
                return
            first.payload += each.payload
            first.end = each.end
            del self.sent[at]
