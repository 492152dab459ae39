"""Reports of judged runs, written to the files the command line names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import typer

from dcompute_sim.commands.options import Reports
from dcompute_sim.commands.status import worst
from dcompute_sim.output_files import write_output
from dcompute_sim.report.run_report import RunReport


def write_reports(
    runs: Sequence[RunReport], reports: Reports, undone: Mapping[str, str] | None = None
) -> None:
    """Write each report that is wanted; JUnit and JSON hold all runs, the others are one file per run.

    Args:
        undone: scenarios that could not be run, and why; JUnit and JSON tell of them.
    """
    if reports.html is not None:
        from dcompute_sim.report.html import html

        for path, run in zip(one_each(reports.html, runs), runs, strict=True):
            write_output(path, html(run))
    if reports.junit is not None:
        from dcompute_sim.report.junit import junit

        write_output(reports.junit, junit(runs, undone or {}))
    if reports.json is not None:
        from dcompute_sim.report.json_report import report

        write_output(reports.json, report(runs, undone or {}))
    if reports.perfetto is not None:
        from dcompute_sim.report.perfetto import perfetto

        for path, run in zip(one_each(reports.perfetto, runs), runs, strict=True):
            write_output(path, perfetto(run))
    if reports.github:
        from dcompute_sim.report.github import workflow_commands

        for run in runs:
            for line in workflow_commands(run, _expectation_places(run.started.scenario)):
                typer.echo(line)


def _expectation_places(reference: str) -> list[tuple[str, int]]:
    """Return file and line of each entry of `expect`; none for a shipped scenario, which is no file of the
    repository."""
    path = Path(reference)
    if not path.is_file():
        return []
    from dcompute_sim.scenario import ScenarioError
    from dcompute_sim.yamlfile.include import read
    from dcompute_sim.yamlfile.place import locate

    try:
        tree = read(path, noun="a scenario", hint="")
    except ScenarioError:
        return [(reference, 1)]  # it has changed since it was run
    real, _, node = locate(tree, ("expect",))
    entries = getattr(node, "items", []) if real else []
    return [(entry.span.source.name, entry.span.line) for entry in entries] or [(reference, 1)]


def one_each(path: Path, runs: Sequence[object]) -> list[Path]:
    """Return a file for each run: `path` itself, or numbered (page-1.html, page-2.html) when there are
    several."""
    if len(runs) == 1:
        return [path]
    return [path.with_stem(f"{path.stem}-{number}") for number in range(1, len(runs) + 1)]


def exit_status(runs: Sequence[RunReport]) -> int:
    """Return 0 if all held, 1 one failed, else 2."""
    return worst([run.verdict.exit_status for run in runs])
