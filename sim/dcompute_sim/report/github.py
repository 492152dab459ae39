"""GitHub workflow annotations: one line each on standard output, shown beside the scenario's file."""

from __future__ import annotations

from dcompute_sim.checks.check import Status
from dcompute_sim.report.run_report import RunReport
from dcompute_sim.report.text import event_line

_LEVEL = {Status.FAILED: "error", Status.INCONCLUSIVE: "warning"}


def workflow_commands(run: RunReport, file: str = "") -> list[str]:
    """One for each expectation that did not hold. `file`: the scenario, relative to the repository."""
    lines = []
    for result in run.verdict.results:
        level = _LEVEL.get(result.outcome.status)
        if level is None:
            continue
        message = [result.outcome.summary]
        if result.outcome.offending:
            message.append(f"first: {event_line(result.outcome.offending[0]).strip()}")
        message.append(f"again: {run.replay}")
        where = f"file={_property(file)}," if file else ""
        title = _property(f"{run.name}: {result.label}")
        lines.append(f"::{level} {where}title={title}::{_data(chr(10).join(message))}")
    return lines


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
