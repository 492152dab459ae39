"""The rules of delivery end to end, each switched off: the explorer must find what breaks without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dcompute.executor.core import FleetCore
from dcompute.executor.model import Node as BelievedNode
from dcompute.executor.model import Outcome, Placement, Task
from dcompute.node_answers import Entry
from dcompute.node_core import NodeCore, encode
from dcompute.node_ring import Ring
from dcompute_sim.end_to_end.small_world import Bounds, SmallWorld


class _Core(NodeCore):
    """A node with a mutant for its ring."""

    ring_class: type[Ring] = Ring

    def _receive_asked(
        self, task: dict[str, object], payload: bytes, now_ms: int
    ) -> list[tuple[str, bytes, bool]]:
        if self.ring is None:
            self.ring = self.ring_class(self, self._ring_size or (1, 1, 0), encode)
        return self.ring.receive(task, payload, now_ms)  # type: ignore[no-any-return]


class _AnyLife(Ring):
    def answer(self, message: dict[str, object], payload: bytes, now_ms: int) -> object:
        return super().answer(message | {"boot": self.core.boot_nonce}, payload, now_ms)


class AnyLife(_Core):
    """1: a message for another life is obeyed."""

    ring_class = _AnyLife


class _Reopens(Ring):
    def update(self, known: Any, n: int, opened: list[int]) -> None:
        super().update(known, n, opened)
        for each in opened:
            if each <= n:
                known.may.setdefault(each, None)


class Reopens(_Core):
    """2: numbers up to the top are added again by a message that was overtaken."""

    ring_class = _Reopens


class _SettlesLater(Ring):
    def update(self, known: Any, n: int, opened: list[int]) -> None:
        super().update(known, n, opened)
        for each in list(known.may):
            if each not in opened:
                self.drop(known.may.pop(each))


class SettlesLater(_Core):
    """2: a message that was overtaken settles numbers above its own."""

    ring_class = _SettlesLater


class _RunsForgotten(Ring):
    def update(self, known: Any, n: int, opened: list[int]) -> None:
        super().update(known, n, opened)
        known.may.setdefault(n, None)


class RunsForgotten(_Core):
    """3: what is not remembered is run."""

    ring_class = _RunsForgotten


class _Reconsiders(Ring):
    def answer(self, message: dict[str, object], payload: bytes, now_ms: int) -> object:
        entry = super().answer(message, payload, now_ms)
        if getattr(entry, "held", None) == ("full", "no"):
            self.take_in(entry, message, payload, now_ms)
        return entry


class Reconsiders(_Core):
    """4: what was refused is taken when it comes again and there is room."""

    ring_class = _Reconsiders


class _ForgetsCancel(Ring):
    def take_in(self, entry: Any, message: dict[str, object], payload: bytes, now_ms: int) -> None:
        super().take_in(entry, message, payload, now_ms)
        if message.get("cancel"):
            self.askers[entry.asker].may[entry.n] = None


class ForgetsCancel(_Core):
    """5: that a task was cancelled before it came is not kept."""

    ring_class = _ForgetsCancel


class _ForgetsRecall(Ring):
    def take_in(self, entry: Any, message: dict[str, object], payload: bytes, now_ms: int) -> None:
        super().take_in(entry, message, payload, now_ms)
        if message.get("recall"):
            self.askers[entry.asker].may[entry.n] = None


class ForgetsRecall(_Core):
    """5: that a task was recalled before it came is not kept."""

    ring_class = _ForgetsRecall


class _GivesBackAndRuns(Ring):
    def take_back(self, entry: Any, answer: str) -> None:
        entry.held = (answer, "no")
        if answer != "recalled":
            super().take_back(entry, answer)

    def answer(self, message: dict[str, object], payload: bytes, now_ms: int) -> object:
        entry = super().answer(message, payload, now_ms)
        recalled = isinstance(entry, Entry) and message.get("recall") and entry.held == ("recalled", "no")
        return ("recalled", "no") if recalled else entry


class GivesBackAndRuns(_Core):
    """5: what was recalled is said to be given back, and stays in the queue."""

    ring_class = _GivesBackAndRuns


class _GoneDidNotRun(Ring):
    def _keep(self, entry: Any, payload: bytes) -> None:
        entry.held = ("gone", "no")


class GoneDidNotRun(_Core):
    """7: a result that was too large to keep is said not to have run."""

    ring_class = _GoneDidNotRun


class _NoFloors(Ring):
    def make_room(self) -> bool:
        made = super().make_room()
        self.floor = self.ran_floor = 0
        return made


class NoFloors(_Core):
    """8: an asker that was evicted starts anew."""

    ring_class = _NoFloors


class _NoFloorForRefused(Ring):
    def answer(self, message: dict[str, object], payload: bytes, now_ms: int) -> object:
        floor = self.floor
        answer = super().answer(message, payload, now_ms)
        if isinstance(answer, tuple) and answer[0] == "slots":
            self.floor = floor
        return answer


class NoFloorForRefused(_Core):
    """8: an asker that was refused a slot is taken in later under the same number."""

    ring_class = _NoFloorForRefused


class _NoRanFloor(Ring):
    def make_room(self) -> bool:
        made = super().make_room()
        self.ran_floor = 0
        return made


class NoRanFloor(_Core):
    """8: what an evicted asker had here is said not to have run."""

    ring_class = _NoRanFloor


class RecallsForGood(FleetCore):
    """A recall is no more than a wish; here its task is placed elsewhere without an answer."""

    def _send(self, placement: Placement, now_s: float, *, recall: bool = False) -> None:
        super()._send(placement, now_s, recall=recall)
        if recall:
            self._close(placement, now_s)
            self.choice.add(placement.task, again=True)


class SameAttempt(FleetCore):
    """10: an attempt that may have run is sent again as the same attempt under a new number."""

    def _next_attempt(self, task: Task) -> None:
        self.choice.add(task)


class OnceMore(FleetCore):
    """10: a `once` task of which it is not known whether it ran is tried again."""

    def _lost(self, task: Task, node: BelievedNode, now_s: float) -> None:
        if task.once and not task.active():
            self._next_attempt(task)
        else:
            super()._lost(task, node, now_s)


class LeavesOpen(FleetCore):
    """11: the end of a task settles only the number that was answered."""

    def _settle(
        self, task: Task, outcome: Outcome, now_s: float, value: object = None, node: str = ""
    ) -> None:
        task.placements[:] = [p for p in task.placements if p.node.id == node]
        super()._settle(task, outcome, now_s, value, node)


class MovesOnce(FleetCore):
    """12: a `once` task is moved when its node seems dead."""

    def _tend(self, node: BelievedNode, now_s: float) -> None:
        if not node.alive and node.gone_at_s is not None:
            for placement in list(node.open.values()):
                if placement.active and placement.task.once:
                    placement.active = False
                    self._next_attempt(placement.task)
        super()._tend(node, now_s)


class OpensOwnOnly(FleetCore):
    """Every message says all that is open; here its own number only."""

    def _send(self, placement: Placement, now_s: float, *, recall: bool = False) -> None:
        before = len(self._batch.sends)
        super()._send(placement, now_s, recall=recall)
        for send in self._batch.sends[before:]:
            send.open = [send.n]


class NoIdleSettle(FleetCore):
    """13: an idle asker does not say so, and nodes keep its results."""

    def _send_settle(self, node: BelievedNode) -> None:
        node.told = True


@dataclass(frozen=True)
class RuleOff:
    """A rule that is off, and the smallest world found in which that shows."""

    bounds: Bounds
    node_class: type[NodeCore] = NodeCore
    core_class: type[FleetCore] = FleetCore
    writes_first: bool = True

    def world(self) -> SmallWorld:
        """Return a world with this mutant."""
        return SmallWorld(self.bounds, self.node_class, self.core_class, writes_first=self.writes_first)

    def healthy(self) -> SmallWorld:
        """Return the same world without it."""
        return SmallWorld(self.bounds)


_A, _B = ("a", False), ("b", False)
_ONCE = ("a", True)
_URGENT = ("u", False)

RULES_OFF: dict[str, RuleOff] = {
    "1 any life": RuleOff(Bounds((_ONCE,), node_crashes=1, repeats=1), AnyLife),
    "2 reopens": RuleOff(Bounds((_A, _B), credit=1, repeats=1), Reopens),
    "2 settles later": RuleOff(Bounds((_A, _B), credit=2, repeats=1), SettlesLater),
    "3 runs forgotten": RuleOff(Bounds((_A, _B), credit=1, repeats=1), RunsForgotten),
    "4 reconsiders": RuleOff(Bounds((_A, _B), credit=2, nodes=2, queue=1, repeats=1), Reconsiders),
    "5 forgets cancel": RuleOff(Bounds((_ONCE,), cancels=1), ForgetsCancel),
    "5 forgets recall": RuleOff(Bounds((_A, _URGENT), credit=1, urgent=("u",)), ForgetsRecall),
    "5 gives back and runs": RuleOff(Bounds((_A, _URGENT), credit=1, urgent=("u",)), GivesBackAndRuns),
    "recalls for good": RuleOff(
        Bounds((_ONCE, _URGENT), credit=1, nodes=2, urgent=("u",)), core_class=RecallsForGood
    ),
    "7 gone did not run": RuleOff(Bounds((_ONCE,), nodes=2, keep_bytes=10, repeats=1), GoneDidNotRun),
    "8 no floors": RuleOff(Bounds((_A, _B), askers=2, slots=1, repeats=1), NoFloors),
    "8 no floor for refused": RuleOff(
        Bounds((_A, _B, ("c", False)), owners=(0, 1, 1), askers=2, slots=1, repeats=1), NoFloorForRefused
    ),
    "8 no ran floor": RuleOff(Bounds((_ONCE, _B), askers=2, slots=1, losses=1, outages=1), NoRanFloor),
    "10 same attempt": RuleOff(
        Bounds((_A, _B), askers=2, slots=1, losses=1, outages=1), core_class=SameAttempt
    ),
    "10 once more": RuleOff(Bounds((_ONCE,), node_crashes=1), core_class=OnceMore),
    "11 leaves open": RuleOff(Bounds((_A,), nodes=2, deaths=1), core_class=LeavesOpen),
    "12 moves once": RuleOff(Bounds((_ONCE,), nodes=2, deaths=1), core_class=MovesOnce),
    "opens own only": RuleOff(Bounds((_A, _B), credit=2, outages=1), core_class=OpensOwnOnly),
    "13 no idle settle": RuleOff(
        Bounds(
            (_A,),
        ),
        core_class=NoIdleSettle,
    ),
    "b, c writes late": RuleOff(Bounds((_A,), asker_crashes=1), writes_first=False),
}
