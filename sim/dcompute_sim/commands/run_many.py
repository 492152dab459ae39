"""Runs of one or several scenarios. What is in real time runs here, one after the other, so that nothing of
its own disturbs it; virtual runs meanwhile have processes of their own."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from dcompute_sim.commands.outputs import one_each
from dcompute_sim.commands.select import SelectedScenario
from dcompute_sim.commands.status import ABSENT, WRONG
from dcompute_sim.executors import WorkersError, default_jobs, local_processes
from dcompute_sim.output_files import TraceFile
from dcompute_sim.report.console import print_run
from dcompute_sim.report.live import LiveView
from dcompute_sim.report.run_report import RunReport, replay_command
from dcompute_sim.run import RunOptions, planned, run_scenario
from dcompute_sim.terminal import Mode
from dcompute_sim.trace import Event

_MANY = 6  # virtual runs, from which on starting processes pays

Listener = Callable[[Event], None]


@dataclass(frozen=True)
class PlannedRun:
    """A scenario, how it is run, and where its trace goes, if it is kept; `numbered`: TraceFile says."""

    entry: SelectedScenario
    options: RunOptions
    trace: Path | None
    numbered: bool = False

    @property
    def label(self) -> str:
        """How the user asked for it."""
        return self.entry.label

    def is_virtual(self) -> bool:
        """Say whether it needs no clock but its own. What cannot be run at all is not."""
        try:
            return planned(self.entry.scenario, self.options).time == "virtual"
        except (*WRONG, *ABSENT):
            return False


@dataclass(frozen=True)
class Done:
    """A judged run, the digest of its trace, and where that was kept."""

    run: RunReport
    digest: str
    trace: Path | None


def plans(
    entries: Sequence[SelectedScenario],
    options: RunOptions,
    traces: Sequence[Path | None],
    *,
    numbered: bool,
) -> list[PlannedRun]:
    """Return a plan for each scenario."""
    pcaps = one_each(options.pcap, entries) if options.pcap else [None] * len(entries)
    return [
        PlannedRun(
            entry,
            replace(
                options,
                reference=entry.reference,
                variation=entry.variation,
                boards=entry.boards(options.boards),
                pcap=pcap,
            ),
            trace,
            numbered,
        )
        for entry, trace, pcap in zip(entries, traces, pcaps, strict=True)
    ]


def carry_out(plan: PlannedRun, listeners: Sequence[Listener] = ()) -> Done:
    """Run, judge, and keep the trace."""
    with contextlib.ExitStack() as stack:
        sink = None
        if plan.trace is not None:
            sink = stack.enter_context(TraceFile(plan.trace, numbered=plan.numbered))
        outcome = run_scenario(plan.entry.scenario, replace(plan.options, sink=sink, listeners=listeners))
    events, verdict = outcome.trace.events, outcome.verdict
    replay = replay_command(outcome.trace.started)
    run = RunReport(events, verdict, replay, outcome.wall_s, plan.entry.scenario.description)
    return Done(run, outcome.trace.digest(), sink.path if sink is not None else None)


def _carry_out_apart(plan: PlannedRun) -> bytes:
    """Carry it out, in a process of its own. Packed: to unpack a large trace would hold up a run in real
    time."""
    return pickle.dumps(carry_out(plan))


def run_all(
    wanted: Sequence[PlannedRun], console: Console, mode: Mode, jobs: int | None
) -> tuple[list[RunReport], dict[str, Exception]]:
    """Run all; return the runs, each shown when it was over, and why those that could not be run were not.

    Args:
        jobs: processes for virtual runs; by default one per core, and none for a handful.

    Raises:
        one of WRONG or ABSENT: the only scenario there is cannot be run.
    """
    found: dict[int, RunReport | Exception] = {}
    apart = _worth_processes(wanted, jobs)
    with _processes(wanted, apart, jobs) as futures:
        for index in [*(i for i in range(len(wanted)) if i not in apart), *sorted(apart)]:
            plan = wanted[index]
            try:
                done = _result(futures[index]) if index in apart else _here(plan, console, mode)
            except (*WRONG, *ABSENT) as error:
                if len(wanted) == 1:
                    raise
                found[index] = error  # the others are run all the same
                continue
            found[index] = done.run
            show_run(console, mode, done)
    runs = [run for _, run in sorted(found.items()) if isinstance(run, RunReport)]
    return runs, {
        wanted[i].label: error for i, error in sorted(found.items()) if isinstance(error, Exception)
    }


def _worth_processes(wanted: Sequence[PlannedRun], jobs: int | None) -> set[int]:
    """Return which runs get processes of their own."""
    virtual = {index for index, plan in enumerate(wanted) if plan.is_virtual()} if len(wanted) > 1 else set()
    enough = len(virtual) >= _MANY if jobs is None else jobs > 1
    return virtual if enough and (jobs or default_jobs()) > 1 else set()


@contextlib.contextmanager
def _processes(
    wanted: Sequence[PlannedRun], apart: set[int], jobs: int | None
) -> Iterator[dict[int, Future[bytes]]]:
    """Yield the runs that have been started elsewhere. Those in real time keep a core and come first on
    it."""
    if not apart:
        yield {}
        return
    beside_real = len(apart) < len(wanted)
    workers = max(1, (jobs or default_jobs()) - beside_real)
    with local_processes(workers, nice=beside_real) as executor:
        yield {index: executor.submit(_carry_out_apart, wanted[index]) for index in sorted(apart)}


def _result(future: Future[bytes]) -> Done:
    try:
        packed = future.result()
    except BrokenExecutor:
        raise WorkersError("its process died (out of memory? fewer --jobs)") from None
    done: Done = pickle.loads(packed)
    return done


def _here(plan: PlannedRun, console: Console, mode: Mode) -> Done:
    if mode == "quiet":
        return carry_out(plan)
    with LiveView(console, plan.entry.scenario.name, plan.entry.scenario.length_s) as live:
        return carry_out(plan, (live.on_event,))


def show_run(console: Console, mode: Mode, done: Done) -> None:
    """Print the verdict, and where the trace is."""
    print_run(console, done.run, mode)
    if mode != "quiet" and done.trace is not None:
        told = Text(
            f"Trace: {done.trace} (digest {done.digest[:16]})"
        )  # a Text: [...] in a name is no markup
        console.print(told, soft_wrap=True)
