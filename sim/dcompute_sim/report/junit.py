"""JUnit XML: one suite per run, one test case per expectation; what CI systems read."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from dcompute_sim.checks.check import CheckOutcome, Status, window
from dcompute_sim.checks.verdict import Result
from dcompute_sim.report.run_report import RunReport
from dcompute_sim.report.text import event_line, sentence
from dcompute_sim.report.why import why

# XML 1.0 has no place, not even escaped, for most control characters; a firmware's output may have them
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


_NOTHING: Mapping[str, str] = MappingProxyType({})


def junit(runs: Sequence[RunReport], undone: Mapping[str, str] = _NOTHING) -> str:
    """Return the document. A failed expectation is a failure, an inconclusive one an error: neither passes.

    Args:
        undone: scenarios that could not be run, and why: each a suite of one error.
    """
    root = ET.Element("testsuites", name="dcompute")
    totals = {"tests": 0, "failures": 0, "errors": 0}
    for suite in [*map(_suite, runs), *itertools.starmap(_undone, undone.items())]:
        for key in totals:
            totals[key] += int(suite.get(key, "0"))
        root.append(suite)
    for key, value in totals.items():
        root.set(key, str(value))
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(run: RunReport) -> ET.Element:
    results = run.verdict.results
    suite = ET.Element(
        "testsuite",
        name=_clean(run.name),
        tests=str(len(results)),
        failures=str(len(run.verdict.of(Status.FAILED))),
        errors=str(len(run.verdict.of(Status.INCONCLUSIVE))),
        skipped="0",
        time=f"{run.wall_s if run.wall_s is not None else run.simulated_s:.3f}",
    )
    properties = ET.SubElement(suite, "properties")
    started = run.started
    for name, value in (
        ("scenario", started.scenario),
        ("seed", str(started.seed)),
        ("time", started.time),
        ("broker", started.broker),
        ("emulator", started.emulator),
        ("mutants", ", ".join(started.mutants)),
        ("replay", run.replay),
    ):
        ET.SubElement(properties, "property", name=name, value=_clean(value))
    for result in results:
        suite.append(_case(run, result))
    return suite


def _undone(name: str, reason: str) -> ET.Element:
    name = _clean(name)
    suite = ET.Element("testsuite", name=name, tests="1", failures="0", errors="1", skipped="0", time="0")
    case = ET.SubElement(suite, "testcase", classname=name, name="can be run", time="0")
    first_line = _clean(reason).partition("\n")[0]
    ET.SubElement(case, "error", type="not run", message=first_line).text = _clean(reason)
    return suite


def _case(run: RunReport, result: Result) -> ET.Element:
    case = ET.Element("testcase", classname=_clean(run.name), name=_clean(result.label), time="0")
    outcome = result.outcome
    if outcome.status is not Status.HELD:
        tag = "failure" if outcome.status is Status.FAILED else "error"
        problem = ET.SubElement(case, tag, type=outcome.status, message=_clean(outcome.summary))
        problem.text = _clean("\n".join([*told_lines(run, result), f"Again: {run.replay}"]))
    figures = [f"{key}: {value}" for key, value in outcome.figures.items()]
    ET.SubElement(case, "system-out").text = _clean("\n".join([outcome.summary, *figures]))
    return case


def told_lines(run: RunReport, result: Result) -> list[str]:
    """Return what led to it in words, then the offending events."""
    return [*map(sentence, why(run.events, result)), *offending_lines(run, result.outcome)]


def offending_lines(run: RunReport, outcome: CheckOutcome) -> list[str]:
    """Return the first offending event in its surroundings, then the others."""
    if not outcome.offending:
        return []
    first = outcome.offending[0]
    around = [f"{'>' if event is first else ' '} {event_line(event)}" for event in window(run.events, first)]
    return [*around, *(f"> {event_line(event)}" for event in outcome.offending[1:])]


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
