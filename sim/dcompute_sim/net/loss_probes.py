"""What one side of a TCP connection sends again, and when: RACK-TLP [RFC 8985] as Linux does it (tcp_recovery
= 1, tcp_early_retrans = 3: its defaults), for two kernels that name what they hold.

Rules beside those of `send_window`, which hold but for what they replace:

* As long as nothing is known to be missing, the first expiry is no timeout but a probe: after two round
  trips, no later than the timeout would be, what waits is sent, else the last segment again, and only then
  the timeout runs, not doubled yet [7; tcp_schedule_loss_probe, tcp_send_loss_probe]. So what is lost twice
  comes after two timeouts and not three, and what is lost three times after four and not seven. There is one
  probe until something sent after it is acknowledged, or the receiver says that it has it twice [RFC 2883].
* A segment is lost when one that was sent later has arrived, and a round trip and a quarter have passed
  since: the quarter is for what only changed places, and nobody waits for it when three have arrived or
  something is lost already [6; tcp_rack_reo_wnd]. "Later" is by time of sending, so that a lost repetition is
  noticed, too.
* When the timeout expires, the oldest counts as lost and what was sent before the last round trip, not what
  was sent since (tcp_timeout_mark_lost); the window is what is still under way, and one.
* A loss cuts the window to seven tenths [RFC 9438, 4.6], once until what had been sent by then is
  acknowledged.
* What measures the round trip is the oldest segment that was sent once (tcp_clean_rtx_queue): a lost
  acknowledgement makes it longer.
* Each write is a segment of its own: brokers and nodes set TCP_NODELAY.

In a silence that begins when one segment is under way on a round trip of 20 ms Linux 6 was seen to send it
again after 0.24, 0.49, 0.98, 1.94 and 3.86 s (two network namespaces, a link that swallows everything); here
after 0.22, 0.44, 0.88, 1.76 and 3.52. Without the probe it would be 0.22, 0.66, 1.54 and 3.3.

Not modelled: windows given back when a timeout was needless (F-RTO, D-SACK), a cut after a loss that a probe
mended, round trips remembered from one connection to the next (tcp_metrics).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal

from dcompute_sim.net.profile import TcpProfile
from dcompute_sim.net.send_window import DUPLICATES, SendWindow, Sent

_CUT_TO: Final = 0.7  # CUBIC
_TICK_S: Final = 0.002  # by which short timers are longer (TCP_TIMEOUT_MIN_US)
_NOTHING: Final = (0.0, 0)


class ProbingWindow(SendWindow):
    """A `SendWindow` whose first word about a loss is not the timeout.

    Args:
        kernel: whose constants hold.
        before: the window that it takes the place of.
    """

    joins_writes = False

    __slots__ = ("_least_s", "_newest", "_newest_trip_s", "_probe", "_probed_to", "_reason")

    def __init__(self, kernel: TcpProfile, before: SendWindow | None = None) -> None:
        super().__init__(kernel)
        if before is not None:
            for name in SendWindow.__slots__:
                setattr(self, name, getattr(before, name))
        self._reason: Literal["timeout", "probe", "reordering"] = "timeout"  # why the timer runs
        self._probe = False  # one segment is due, whatever the window says
        self._probed_to = 0  # what was sent before the last probe; 0: it is answered
        self._newest = _NOTHING  # when that was sent which arrived and was sent last, and its end
        self._newest_trip_s = 0.0  # how long it took
        self._least_s = float("inf")  # the shortest round trip

    @property
    def is_doubtful(self) -> bool:
        """Something was sent again because nothing was heard of it, and still is not."""
        probed = bool(self._probed_to and self.sent) and self.sent[-1].again > 0
        return super().is_doubtful or probed

    def take(self, now_s: float) -> Sent | None:
        """Return what is to be transmitted next; None when that is all that the window, and the probe,
        allow."""
        if self._probe:
            self._probe = False
            if self.waiting:
                self.sent.append(self.waiting.popleft())
            else:
                self.sent[-1].again += 1
            self.sent[-1].sent_at_s = now_s
            return self.sent[-1]
        fresh = not any(each.lost for each in self.sent)
        each = super().take(now_s)
        if each is not None and fresh and self._reason == "probe":
            self.deadline_s = None  # it runs anew from the last that was sent, unless the timeout is earlier
            self._set_timer(self.sent[0].sent_at_s, now_s)
        return each

    def acknowledge(
        self, ack: int, beyond: Iterable[tuple[int, int]], twice: bool, echo_s: float, now_s: float
    ) -> None:
        """Take it that the receiver has everything before `ack`, and what lies within the ranges `beyond`."""
        under_way = self._under_way()
        covered, held, progress = self._strike_out(ack, beyond)
        if ack > self._probed_to or (twice and ack == self._probed_to):
            self._probed_to = 0
        if not covered and not progress:
            return
        self._measure(covered, held, echo_s, now_s)
        if ack >= self._recover_to:
            self._recover_to = 0
        slow_start = self.size < self._threshold
        limited = self.size < 2 * under_way if slow_start else under_way >= int(self.size)
        if covered and limited and (slow_start or not self._recover_to):
            self._grow(progress)
        self._mark_lost(now_s)
        if covered:
            self.attempts = 0
        if covered or self._reason == "probe":
            self.deadline_s = None
            if self.sent:
                self._set_timer(now_s, now_s)
        self._await_overtaken(now_s)

    def expire(self, now_s: float) -> None:
        """Act on the timer, which ran out."""
        reason, self._reason, self.deadline_s = self._reason, "timeout", None
        if reason == "reordering":
            self._mark_lost(now_s)
            self._set_timeout(now_s, now_s)
        elif reason == "probe" and not self._probed_to:
            self._probe = True
            self._probed_to = (self.waiting or self.sent)[0 if self.waiting else -1].end
            self._set_timeout(now_s, now_s)
        elif reason == "probe" and self._timeout_at_s(self.sent[0].sent_at_s) > now_s:
            self._set_timeout(self.sent[0].sent_at_s, now_s)
        else:
            self._time_out(now_s)

    def _time_out(self, now_s: float) -> None:
        if self.attempts == 0:
            self.doubtful_since_s = now_s
            self._threshold = max(self.size * _CUT_TO, 2)
        self.attempts += 1
        for each in self.sent:
            recent = now_s - each.sent_at_s < self._newest_trip_s and each is not self.sent[0]
            each.lost = not each.arrived and not recent
        self.size = self._under_way() + 1
        self._recover_to = self.sent[-1].end
        self._join_first()
        self._set_timeout(now_s, now_s)

    def _measure(self, covered: list[Sent], held: list[Sent], echo_s: float, now_s: float) -> None:
        news = [each for each in covered if not each.arrived]
        for each in (*news, *held):
            trip_s = now_s - each.sent_at_s
            if each.again and trip_s < self._least_s:
                continue  # it answers an earlier copy
            self._least_s = min(self._least_s, trip_s)
            if (each.sent_at_s, each.end) > self._newest:
                self._newest, self._newest_trip_s = (each.sent_at_s, each.end), trip_s
        once = news if news and not any(each.again for each in news) else [h for h in held if not h.again]
        if once:
            self.round_trip.measured(now_s - min(each.sent_at_s for each in once))
        elif covered:
            self.round_trip.measured(now_s - echo_s)  # [RFC 7323, 4]

    # --- what is lost ---

    def _mark_lost(self, now_s: float) -> None:
        lost = [each for each in self._overtaken() if self._here_in_s(each, now_s) <= 1e-9]
        for each in lost:
            each.lost = True
        if lost and not self._recover_to:
            self._threshold = self.size = max(self.size * _CUT_TO, 2)
            self._recover_to = self.sent[-1].end

    def _overtaken(self) -> Iterator[Sent]:
        """Yield what is missing although something that was sent later has arrived."""
        for each in self.sent:
            if not each.arrived and not each.lost and (each.sent_at_s, each.end) < self._newest:
                yield each

    def _here_in_s(self, each: Sent, now_s: float) -> float:
        """Tell how long it may still take if it only changed places with what came."""
        many = sum(other.arrived for other in self.sent) >= DUPLICATES
        spare_s = 0.0 if many or self._recover_to else self._least_s / 4
        return each.sent_at_s + self._newest_trip_s + spare_s - now_s

    # --- the timer ---

    def _timeout_at_s(self, since_s: float) -> float:
        return since_s + self._kernel.wait_s(self.round_trip.timeout_s, self.attempts)

    def _set_timeout(self, since_s: float, now_s: float) -> None:
        self.deadline_s, self._reason = max(now_s, self._timeout_at_s(since_s)), "timeout"

    def _set_timer(self, since_s: float, now_s: float) -> None:
        """Set it for the oldest, sent at `since_s`: a probe if nothing is known to be missing."""
        self._set_timeout(since_s, now_s)
        mean_s = self.round_trip.mean_s
        missing = self._recover_to or any(each.arrived or each.lost for each in self.sent)
        if self.attempts or missing or mean_s is None:
            return
        # Who is alone under way may be acknowledged late.
        spare_s = self._kernel.rto_floor_s if len(self.sent) == 1 else _TICK_S
        assert self.deadline_s is not None
        self.deadline_s, self._reason = min(now_s + 2 * mean_s + spare_s, self.deadline_s), "probe"

    def _await_overtaken(self, now_s: float) -> None:
        """Look again when what was overtaken would have been here."""
        if waits_s := [self._here_in_s(each, now_s) for each in self._overtaken()]:
            self.deadline_s, self._reason = now_s + max(waits_s) + _TICK_S, "reordering"
