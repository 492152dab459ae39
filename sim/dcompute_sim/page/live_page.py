"""A run that goes on while the page shows it.

The run keeps the thread it has; the page is served on another one, which reads the list of events as it grows
and never touches what the run is made of. What is done to the run by hand is called on the run's own loop.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from dcompute_sim import trace as t
from dcompute_sim.brokers.model.broker_history import BrokerHistory
from dcompute_sim.director import Director
from dcompute_sim.page.broker_panel import IN_REAL_TIME
from dcompute_sim.page.by_hand import ByHand, kinds
from dcompute_sim.page.pace import Pacer
from dcompute_sim.page.page_server import Site
from dcompute_sim.page.shown_run import Facts, ShownRun
from dcompute_sim.report.run_report import RunReport
from dcompute_sim.run import CallSoon

T = TypeVar("T")


class LivePage:
    """What the page has of a run that goes on.

    Args:
        started: how the trace will begin, as far as it is known.
        length_s: how long the run will last in its own time.
        pacer: of a run in virtual time.
        history: is written by a run in virtual time, of what its broker holds.
    """

    def __init__(
        self,
        facts: Facts,
        length_s: float,
        pacer: Pacer | None = None,
        history: BrokerHistory | None = None,
    ) -> None:
        self.events: list[t.Event] = []
        self._pacer = pacer
        self._length_us = round(length_s * 1e6)
        self._run = ShownRun(facts, self.events, broker=lambda: history or IN_REAL_TIME)
        self._hands: ByHand | None = None
        self._call_soon: CallSoon | None = None
        self._report: RunReport | None = None
        self._heard = (0, time.monotonic())  # the newest event, and when it came
        self._last_status: dict[str, object] = {}
        self.site = Site([self._run], status=self._status)
        if pacer is not None:
            self.site.acts["pace"] = self._pace

    # --- on the run's thread ------------------------------------------------------------------------------

    def attend(self, director: Director, call_soon: CallSoon) -> None:
        """Attend a run that is about to begin; from here on hands can be laid on it."""
        self._hands = ByHand(director, self.events)
        self._call_soon = call_soon
        self.site.acts |= {"strike": self._strike, "undo": self._undo, "save": self._save}

    def over(self, report: RunReport) -> None:
        """Keep the report of the run, which is over and judged."""
        self._report = report

    # --- on the page's thread -----------------------------------------------------------------------------

    def turn(self) -> None:
        """Tell the pages what is new."""
        run = self._run
        if self._report is not None:
            if not run.over:
                run.finish(self._report)
                for name in ("strike", "undo", "pace"):
                    self.site.acts.pop(name, None)
                self.site.tell({"over": True})
            return
        run.grow(self._now_us())
        self.site.tell(run.changes())
        status = self._status()
        if status != self._last_status:
            self._last_status = status
            self.site.tell({"status": status})

    def _now_us(self) -> int:
        if self._pacer is not None and not math.isinf(self._pacer.pace):
            return self._pacer.now_us()
        newest = self.events[-1].t_us if self.events else 0
        if newest != self._heard[0]:
            self._heard = newest, time.monotonic()
        if self._pacer is not None or not self.events:
            return newest
        return newest + round((time.monotonic() - self._heard[1]) * 1e6)

    def _status(self) -> dict[str, object]:
        status: dict[str, object] = {"length": self._length_us}
        if self._pacer is not None:
            status["pace"] = None if math.isinf(self._pacer.pace) else self._pacer.pace
        if self._hands is not None:
            status |= {"kinds": kinds(), "done": self._hands.done()}
        return status

    async def _on_loop(self, work: Callable[[], T]) -> T:
        """Call `work` on the run's own loop, and return what it gives."""
        assert self._call_soon is not None
        done: Future[T] = Future()

        def do() -> None:
            try:
                done.set_result(work())
            except BaseException as error:
                done.set_exception(error)

        try:
            self._call_soon(do)
        except RuntimeError:  # the loop is closed
            raise ValueError("the run is over") from None
        return await asyncio.wait_for(asyncio.wrap_future(done), 10)

    async def _strike(self, wanted: dict[str, Any]) -> dict[str, Any]:
        hands = self._hands
        assert hands is not None
        kind, node, keys = wanted.get("kind", ""), wanted.get("node", ""), wanted.get("keys", {})
        texts = [kind, node, *keys, *keys.values()] if isinstance(keys, dict) else [None]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("kind and node are names, keys are texts by name")
        name = await self._on_loop(lambda: hands.strike(kind, node, keys))
        self.turn()
        return {"fault": name}

    async def _undo(self, wanted: dict[str, object]) -> dict[str, object]:
        hands = self._hands
        assert hands is not None
        await self._on_loop(lambda: hands.undo(str(wanted.get("fault", ""))))
        self.turn()
        return {}

    async def _save(self, _wanted: dict[str, object]) -> dict[str, object]:
        assert self._hands is not None
        name, text = self._hands.scenario()
        return {"name": name, "text": text}

    async def _pace(self, wanted: dict[str, object]) -> dict[str, object]:
        assert self._pacer is not None
        self._pacer.set(pace_of(str(wanted.get("pace", ""))))
        return {}


def pace_of(text: str) -> float:
    """Read `10x`, `10`, `0` (stopped) or `inf`. ValueError for anything else."""
    try:
        pace = float(text.strip().lower().removesuffix("x"))
    except ValueError:
        pace = math.nan
    if not pace >= 0:
        raise ValueError(f"{text!r} is no pace: say how many seconds of the run in one, as 10x")
    return pace
