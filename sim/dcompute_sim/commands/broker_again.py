"""What the broker held in a run of which there is a trace: the run is made again, and looked at."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dcompute_sim.commands.select import entry_of, options_of
from dcompute_sim.commands.status import ABSENT, WRONG
from dcompute_sim.run import run_scenario
from dcompute_sim.trace import read
from dcompute_sim.worker_processes import WorkerProcesses

if TYPE_CHECKING:
    from dcompute_sim.brokers.model.broker_history import BrokerHistory
    from dcompute_sim.page.broker_panel import BrokerSource


def broker_history(path: Path) -> BrokerHistory | str:
    """Run a trace's scenario again; what the broker held then, or in words why that is not known."""
    from dcompute_sim.brokers.model.broker_history import BrokerHistory
    from dcompute_sim.page.broker_panel import IN_REAL_TIME

    saved = read(path)
    if saved.started.time == "real":
        return IN_REAL_TIME
    history = BrokerHistory()
    try:
        scenario = entry_of(saved.started).scenario
        options = replace(options_of(saved.started), broker_history=history)
        again = run_scenario(scenario, options).trace
    except (*WRONG, *ABSENT, typer.BadParameter) as error:
        return f"The run cannot be made again to look into its broker: {error}"
    if again.digest() != saved.digest():
        return "The run cannot be made again to look into its broker: the scenario, or dcompute, is another."
    return history


def in_background(path: Path, workers: WorkerProcesses) -> BrokerSource:
    """Begin to make the run again in another process."""
    asked = workers.submit(broker_history, path)

    def source() -> BrokerHistory | str | None:
        if not asked.done():
            return None
        try:
            return asked.result()
        except BrokenExecutor as error:
            return f"The run cannot be made again to look into its broker: {error}"

    return source
