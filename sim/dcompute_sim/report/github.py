"""GitHub workflow annotations: one line each on standard output, shown beside the scenario's file."""

from __future__ import annotations

from collections.abc import Sequence

from dcompute_sim.checks.check import Status
from dcompute_sim.report.run_report import RunReport
from dcompute_sim.report.text import event_line, sentence
from dcompute_sim.report.why import why

_LEVEL = {Status.FAILED: "error", Status.INCONCLUSIVE: "warning"}


def workflow_commands(run: RunReport, places: Sequence[tuple[str, int]] = ()) -> list[str]:
    """Return one for each expectation that did not hold.

    Args:
        places: file, relative to the repository, and line of each expectation; what is none of them (that the
            run ended, that its faults bit) is shown at the first line of the first file.
    """
    lines = []
    for index, result in enumerate(run.verdict.results):
        level = _LEVEL.get(result.outcome.status)
        if level is None:
            continue
        message = [result.outcome.summary, *map(sentence, why(run.events, result))]
        if result.outcome.offending:
            message.append(f"first: {event_line(result.outcome.offending[0]).strip()}")
        message.append(f"again: {run.replay}")
        where = ""
        if places:
            file, line = places[index] if index < len(places) else (places[0][0], 1)
            where = f"file={_property(file)},line={line},"
        title = _property(f"{run.name}: {result.label}")
        lines.append(f"::{level} {where}title={title}::{_data(chr(10).join(message))}")
    return lines


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
