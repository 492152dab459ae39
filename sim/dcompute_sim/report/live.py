"""The live view of a run: nodes by status, tasks, rates, faults and deaths, while it happens.

It listens to the trace and draws at most four times a second, and more rarely when drawing is slow, so that
it costs less than 5 % of the run: the time spent on drawing is measured and paid back by waiting. On a
terminal the view is redrawn in place; elsewhere it is one line every few seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from time import perf_counter  # bound here: a virtual run forbids looking the clock up while it is on
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dcompute_sim import trace as t
from dcompute_sim.report.text import counted, plural, seconds

TERMINAL_INTERVAL_S = 0.25
LINE_INTERVAL_S = 5.0
_REST_PER_DRAWING = 24  # after a drawing that took d, none for 24 d: at most 4 % of the time is drawing
_LOOK_EVERY = 16  # events between two looks at the clock, which cost as much as counting an event; or when
_LOOK_AFTER_US = 250_000  # so much of the run's own time has passed, for quiet runs in real time

_STATUS_STYLE = {"ready": "green", "busy": "cyan", "dead": "red", "offline": "yellow", "connected": "blue"}


class LiveFigures:
    """Running totals of a trace; cheap to keep."""

    def __init__(self) -> None:
        self.now_us = 0
        self.phase = ""
        self.nodes = 0
        self.statuses: dict[str, str] = {}
        self.counts: Counter[type[t.Event]] = Counter()
        self.faults: Counter[str] = Counter()

    def add(self, event: t.Event) -> None:
        """Take in one event."""
        kind = type(event)
        self.counts[kind] += 1
        self.now_us = event.t_us
        if kind is t.NodeStatusSeen:
            self.statuses[event.node] = event.status  # type: ignore[attr-defined]
        elif kind is t.FaultInjected:
            self.faults[event.kind] += 1  # type: ignore[attr-defined]
        elif kind is t.PhaseStarted:
            self.phase = event.phase  # type: ignore[attr-defined]

    def by_status(self) -> Counter[str]:
        """Count nodes by what the master believes of them; those it does not know are `unseen`."""
        found = Counter(self.statuses.values())
        unseen = self.counts[t.NodeDefined] - len(self.statuses)
        if unseen > 0:
            found["unseen"] = unseen
        return found


class LiveView:
    """Shows a run while it goes on; a context manager.

    Pass `view.on_event` to `Trace.listen`. In real time also call `tick()` now and then, so that the view
    goes on when nothing happens.

    Args:
        duration_s: how long the run will last in its own time, if known.
        clock: the clock on the wall, in seconds.
    """

    def __init__(
        self,
        console: Console,
        title: str = "",
        duration_s: float | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self.figures = LiveFigures()
        self.drawings = 0
        self._console = console
        self._title = title
        self._duration_s = duration_s
        self._clock = clock
        self._interval_s = TERMINAL_INTERVAL_S if console.is_terminal else LINE_INTERVAL_S
        self._live: Live | None = None
        if console.is_terminal:
            self._live = Live(console=console, auto_refresh=False, transient=True)
        self._started_s = clock()
        self._next_s = self._started_s + self._interval_s
        self._until_look = _LOOK_EVERY
        self._look_at_us = _LOOK_AFTER_US
        self._last = (self._started_s, 0, 0)  # wall time, tasks and events at the last drawing

    def __enter__(self) -> LiveView:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def on_event(self, event: t.Event) -> None:
        """Take in one event of the trace; draws when it is time."""
        self.figures.add(event)
        self._until_look -= 1
        if self._until_look <= 0 or event.t_us >= self._look_at_us:
            self._until_look = _LOOK_EVERY
            self._look_at_us = event.t_us + _LOOK_AFTER_US
            self.tick()

    def tick(self) -> None:
        """Draw if it is time."""
        now_s = self._clock()
        if now_s < self._next_s:
            return
        self._draw(now_s)
        done_s = self._clock()
        self._next_s = done_s + max(self._interval_s, _REST_PER_DRAWING * (done_s - now_s))

    def _draw(self, now_s: float) -> None:
        self.drawings += 1
        if self._live is not None:
            self._live.update(self._panel(now_s), refresh=True)
        else:
            self._console.print(Text(self._line(now_s)), soft_wrap=True)
        counts = self.figures.counts
        self._last = (now_s, counts[t.ResultReceived], counts.total())

    def _line(self, now_s: float) -> str:
        figures = self.figures
        parts = [self._progress(now_s), counted(figures.by_status()) or "no nodes yet", self._tasks()]
        if figures.faults:
            parts.append(
                f"{plural(figures.faults.total(), 'fault')}, "
                f"{plural(figures.counts[t.DeathReported], 'death')}"
            )
        return "; ".join(parts)

    def _panel(self, now_s: float) -> Group:
        figures = self.figures
        head = Text.assemble((self._title, "bold"), "  ", self._progress(now_s))
        table = Table.grid(padding=(0, 2))
        statuses = Text()
        for status, count in sorted(figures.by_status().items()):
            statuses.append(f"{count:,} {status}  ", style=_STATUS_STYLE.get(status, ""))
        table.add_row(Text("nodes", "dim"), statuses)
        table.add_row(Text("tasks", "dim"), Text(f"{self._tasks()}, {self._rates(now_s)}"))
        deaths = figures.counts[t.DeathReported]
        faults = counted(figures.faults) or "none yet"
        table.add_row(Text("faults", "dim"), Text(f"{faults}; {plural(deaths, 'death')} reported"))
        if self._duration_s:
            done = min(1.0, figures.now_us / 1e6 / self._duration_s)
            return Group(head, ProgressBar(total=1.0, completed=done, width=60), table)
        return Group(head, table)

    def _tasks(self) -> str:
        counts = self.figures.counts
        return f"{plural(counts[t.TaskSent], 'send')}, {plural(counts[t.ResultReceived], 'result')}"

    def _rates(self, now_s: float) -> str:
        last_s, tasks, events = self._last
        span_s = max(1e-6, now_s - last_s)
        counts = self.figures.counts
        return (
            f"{(counts[t.ResultReceived] - tasks) / span_s:,.0f} done/s, "
            f"{(counts.total() - events) / span_s:,.0f} events/s"
        )

    def _progress(self, now_s: float) -> str:
        """Return where the run is in its own time, how fast that goes, and when it will end."""
        own_s = self.figures.now_us / 1e6
        wall_s = max(1e-6, now_s - self._started_s)
        text = f"{own_s:,.1f} s" + (f" of {self._duration_s:,.0f} s" if self._duration_s else "")
        speed = own_s / wall_s
        if speed > 1.5:
            text += f", {speed:,.0f} times real time"
        if self._duration_s and own_s > 0 and own_s < self._duration_s:
            text += f", about {seconds((self._duration_s - own_s) / speed)} to go"
        return f"{text}, {self.figures.phase}" if self.figures.phase else text
