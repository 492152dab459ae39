"""The verdict as JSON, for programs: stable keys, `format` counts their versions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from dcompute_sim.checks.verdict import Result
from dcompute_sim.report.broker_drops import drops
from dcompute_sim.report.energy_report import drawn_by_node
from dcompute_sim.report.not_modelled import not_modelled
from dcompute_sim.report.run_report import RunReport
from dcompute_sim.report.why import why

FORMAT = 1


_NOTHING: Mapping[str, str] = MappingProxyType({})


def report(runs: Sequence[RunReport], undone: Mapping[str, str] = _NOTHING) -> str:
    """Return all runs as one JSON document.

    Args:
        undone: scenarios that could not be run, and why; they count as invalid.
    """
    statuses = [run.verdict.exit_status for run in runs] + [2] * len(undone)
    document = {
        "format": FORMAT,
        "exit_status": max(statuses, default=0, key=(0, 2, 1).index),
        "runs": [as_dict(run) for run in runs],
        "not_run": dict(undone),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def as_dict(run: RunReport) -> dict[str, object]:
    """Return one run as plain data."""
    totals = run.totals
    return {
        "scenario": run.started.scenario,
        "variation": run.started.variation,
        "seed": run.started.seed,
        "time": run.started.time,
        "broker": run.started.broker,
        "emulator": run.started.emulator,
        "mutants": run.started.mutants,
        "status": run.verdict.status,
        "exit_status": run.verdict.exit_status,
        "simulated_s": run.simulated_s,
        "wall_s": run.wall_s,
        "replay": run.replay,
        "totals": {
            "nodes": totals.nodes,
            "tasks": totals.tasks,
            "tasks_sent": totals.sent,
            "results": totals.finished,
            "deaths": totals.deaths,
            "faults": dict(sorted(totals.faults.items())),
            "events": dict(sorted(totals.events.items())),
        },
        "broker_dropped": drops(run.events),
        "energy": drawn_by_node(run.events),
        "not_modelled": not_modelled(run.events),
        "expectations": [_result(run, result) for result in run.verdict.results],
        "faults": [
            {
                "fault": receipt.fault.fault,
                "kind": receipt.fault.kind,
                "node": receipt.fault.node,
                "t_s": receipt.fault.t_s,
                "effects": list(receipt.effects),
            }
            for receipt in run.verdict.receipts
        ],
    }


def _result(run: RunReport, result: Result) -> dict[str, object]:
    return {
        "name": result.name,
        "parameters": result.parameters,
        "status": result.outcome.status,
        "summary": result.outcome.summary,
        "why": why(run.events, result),
        "figures": dict(result.outcome.figures),
        "distributions": [
            {"name": d.name, "unit": d.unit, **d.figures()} for d in result.outcome.distributions
        ],
        "offending": [msgspec.to_builtins(event) for event in result.outcome.offending],
    }
