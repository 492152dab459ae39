"""Check: a campaign goes as it was declared: who comes first, when the next wave, when it stops.

Rules, from the scenario's words and what was seen of boards alone; how the master reckons is not asked.

1. The canaries come first. A wave is no larger than was declared, and begins when every board of those before
   has ended and the pause is over.
2. It counts as failed what took the version and refused, gave up or went back. When more than the allowed
   share of those that took it has failed the campaign is aborted, and nobody new is begun; else it is not
   aborted. A board that never answered says nothing.
3. Boards that run an aborted version are sent back, unless the scenario says that they stay.
4. A master that has crashed begins at once with the boards that were under way, there or back; and a board
   that has gone back from the version does not get it once more.
5. A board that never answered is tried again after the last wave, `tries` times in all; one that answered is
   not. An offer that a master repeats after its crash is no further try; whether one is that it makes of a
   board which ended within LOOK_S before, nobody outside can tell, so it may count or not.

Ends within LOOK_S of each other may be taken in in any order, so at a share in between both is right.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar

from dcompute.parts import number_of
from dcompute_sim.checks.check import Check, CheckOutcome, failed, held, inconclusive
from dcompute_sim.trace import (
    CampaignEnded,
    CampaignStarted,
    Event,
    MasterStarted,
    MasterStopped,
    UpdateStarted,
    UpdateState,
)

LOOK_S = 1.0
"""Within which whoever carries a campaign out has seen what became of a board."""
_AGAIN_S = 3.0  # for a master that has started to begin anew with the boards under way
_BACK = "rolled back"
_ENDS = ("confirmed", _BACK, "refused", "failed")
_TAKES = ("sending", "staged", "switching")


class WavesKept(Check):
    """A campaign goes as declared: canaries, waves, pauses, and an abort when it is due, and only then.

    After an abort nobody new is begun, and boards that run the version are sent back (`back`). A master that
    crashes goes on where it was, and gives no board a version once more from which it has gone back. One that
    does not answer is tried as often as declared, after all others.

    Limit: a try that falls together with a crash of the master may count or not.
    """

    name: ClassVar[str] = "waves_kept"
    occasion: ClassVar[str] = "a campaign: `updates: [{..., campaign: {}}]`"

    def judge(self, trace: Sequence[Event]) -> CheckOutcome:
        ledgers = [_Ledger(event) for event in trace if isinstance(event, CampaignStarted)]
        if not ledgers:
            return inconclusive("there was no campaign")
        for ledger in ledgers:
            for event in trace:
                ledger.take(event)
        wrong = [fault for ledger in ledgers for fault in ledger.wrong]
        figures = {"campaigns": len(ledgers), "waves": sum(ledger.waves for ledger in ledgers)}
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            return failed(f"{wrong[0][0]}{more}", (event for _, event in wrong), figures)
        unfinished = [ledger.version for ledger in ledgers if ledger.ended is None]
        if unfinished:
            return inconclusive(f"the campaign with {', '.join(unfinished)} was not over", figures)
        aborted = sum(bool(ledger.ended and ledger.ended.aborted) for ledger in ledgers)
        went = number_of(len(ledgers), "campaign")
        return held(f"{went}, {number_of(figures['waves'], 'wave')}, {aborted} aborted, as declared", figures)


class _Ledger:
    """What is known of one campaign."""

    def __init__(self, declared: CampaignStarted) -> None:
        self.version = declared.version
        self.wrong: list[tuple[str, Event]] = []
        self.waves = 0
        self.ended: CampaignEnded | None = None
        self._declared = declared
        self._begun: dict[str, int] = {}  # when each board was begun first
        self._wave: list[str] = []
        self._open: set[str] = set()  # under way there, or back
        self._last_end_us = declared.t_us
        self._touched: set[str] = set()
        self._switched: set[str] = set()
        self._gone_back: set[str] = set()
        self._fates: list[
            tuple[int, str, bool]
        ] = []  # when a board that took it ended, and whether it failed
        self._sent_back: set[str] = set()
        self._boot: MasterStarted | None = None
        self._to_resume: set[str] = set()
        self._begun_us = -1  # when boards were begun last
        self._tries: Counter[str] = Counter()
        self._perhaps_no_tries: Counter[str] = Counter()
        self._ended_us: dict[str, int] = {}
        self._perhaps_open: set[str] = set()  # whose end a master may not have taken in when it crashed

    def take(self, event: Event) -> None:
        if event.t_us < self._declared.t_us or self.ended is not None:
            return
        self._look_at_boot(event)
        if isinstance(event, MasterStarted):
            self._boot, self._to_resume = event, set(self._open)
        elif isinstance(event, MasterStopped):
            self._perhaps_open |= {n for n, us in self._ended_us.items() if event.t_us - us <= _us(LOOK_S)}
        elif isinstance(event, CampaignEnded) and event.version == self.version:
            self._end(event)
        elif isinstance(event, (UpdateStarted, UpdateState)) and event.node in self._declared.nodes:
            if isinstance(event, UpdateState):
                self._moved(event)
            elif event.version == self.version:
                self._offered(event)
            elif event.version == event.before:
                self._sent_back.add(event.node)
                self._resumed(event.node)

    # --- there ----------------------------------------------------------------------------------------------

    def _offered(self, event: UpdateStarted) -> None:
        node = event.node
        if node not in self._open:
            self._tries[node] += 1
            if node in self._perhaps_open:
                self._perhaps_no_tries[node] += 1
            else:
                self._tried(event)
        self._perhaps_open.discard(node)
        self._resumed(node)

    def _tried(self, event: UpdateStarted) -> None:
        plan, node = self._declared, event.node
        if self._share(event.t_us - _us(LOOK_S))[0] > plan.abort:
            self._fault(f"{node} was begun when {self.version} was to be aborted", event)
        again = node in self._begun
        if event.t_us != self._begun_us:
            self._next_wave(event, again)
        self._begun_us = event.t_us
        if again:
            self._tried_again(event)
            return
        self._begun[node] = event.t_us
        self._wave.append(node)
        first = self.waves == 1 and plan.first > 0
        size = plan.first if first else max(1, math.floor(plan.wave * len(plan.nodes)))
        if len(self._wave) > size:
            self._fault(f"{node} makes a wave of {len(self._wave)}, {size} were declared", event)
        if first and plan.canaries and node not in plan.canaries:
            self._fault(f"{node} came before the canaries", event)

    def _next_wave(self, event: UpdateStarted, again: bool) -> None:
        if self._open:
            self._fault(f"{event.node} was begun while {', '.join(sorted(self._open))} was under way", event)
        rested_s = (event.t_us - self._last_end_us) / 1e6
        if self.waves and rested_s < self._declared.pause_s:
            told = f"{event.node} was begun {rested_s:.1f} s after the wave before"
            self._fault(f"{told}, the pause is {self._declared.pause_s:g} s", event)
        self.waves += not again
        self._wave = []

    def _tried_again(self, event: UpdateStarted) -> None:
        node, tries = event.node, self._tries[event.node] - self._perhaps_no_tries[event.node]
        left = len(self._declared.nodes) - len(self._begun)
        if tries > self._declared.tries:
            self._fault(
                f"{node} was tried {number_of(tries, 'time')}, {self._declared.tries} were declared", event
            )
        if left:
            self._fault(
                f"{node} was tried again while {number_of(left, 'board')} waited for a first try", event
            )
        if any(node == ended for _, ended, _ in self._fates):
            self._fault(f"{node} was tried again although it had answered", event)

    def _moved(self, event: UpdateState) -> None:
        node = event.node
        if event.state in _ENDS:
            self._open.discard(node)
        if event.version != self.version:
            return
        if event.state == "switching":
            if node in self._switched:
                self._fault(f"{node} got {self.version} once more", event)
            self._switched.add(node)
        if event.state in _TAKES:
            self._touched.add(node)
        if event.state in _ENDS:
            self._last_end_us = self._ended_us[node] = event.t_us
            if event.state != "failed" or node in self._touched:
                self._fates.append((event.t_us, node, event.state != "confirmed"))

    def _share(self, until_us: int) -> tuple[float, float]:
        """Return the largest share that had failed by then, and what it may have been in another order."""
        failed_ones: set[str] = set()
        took: set[str] = set()
        surely = perhaps = 0.0
        for ends in _at_once([fate for fate in self._fates if fate[0] <= until_us]):
            bad = {node for _, node, has_failed in ends if has_failed}
            if bad:  # before the good ones
                perhaps = max(perhaps, len(failed_ones | bad) / len(took | bad))
            all_of_them = {node for _, node, _ in ends}
            failed_ones = (failed_ones - all_of_them) | bad
            took |= all_of_them
            surely = max(surely, len(failed_ones) / len(took))
        return surely, max(surely, perhaps)

    # --- the master, and the end ----------------------------------------------------------------------------

    def _resumed(self, node: str) -> None:
        self._open.add(node)
        self._to_resume.discard(node)

    def _look_at_boot(self, event: Event) -> None:
        """See, some time after a start of the master, whether it went on where it was."""
        if self._boot is None or event.t_us - self._boot.t_us < _us(_AGAIN_S):
            return
        for node in sorted(self._to_resume & self._open):
            self._fault(
                f"{node} was under way with {self.version} when the master crashed, and left", self._boot
            )
        self._boot = None

    def _end(self, event: CampaignEnded) -> None:
        self.ended = event
        surely, perhaps = self._share(event.t_us)
        allowed = f"{self._declared.abort:.0%} may"
        if surely > self._declared.abort and not event.aborted:
            self._fault(
                f"{surely:.0%} of those that took {self.version} failed, {allowed}: not aborted", event
            )
        if event.aborted and perhaps <= self._declared.abort:
            self._fault(f"{perhaps:.0%} of those that took {self.version} failed, {allowed}: aborted", event)
        answered = {node for _, node, _ in self._fates}
        silent = [node for node in self._ended_us if node not in answered and not event.aborted]
        for node in silent:
            if self._tries[node] < self._declared.tries:
                tried = number_of(self._tries[node], "time")
                self._fault(f"{node} was tried {tried}, {self._declared.tries} were declared", event)
        runs = {node for _, node, has_failed in self._fates if not has_failed}
        left = runs - self._sent_back if event.aborted and self._declared.back else set()
        for node in sorted(left):
            self._fault(f"{node} was not sent back from {self.version}, which was aborted", event)
        if not self._declared.back:
            for node in sorted(self._sent_back):
                self._fault(f"{node} was sent back from {self.version}, which was to stay", event)

    def _fault(self, words: str, event: Event) -> None:
        self.wrong.append((words, event))


def _at_once(fates: Sequence[tuple[int, str, bool]]) -> Iterator[list[tuple[int, str, bool]]]:
    """Yield the ends in groups; those of a group are within LOOK_S of the one before."""
    group: list[tuple[int, str, bool]] = []
    for fate in fates:
        if group and fate[0] - group[-1][0] > _us(LOOK_S):
            yield group
            group = []
        group.append(fate)
    if group:
        yield group


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
