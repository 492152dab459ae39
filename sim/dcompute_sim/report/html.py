"""One self-contained HTML file: lanes of nodes through time, latencies, order, rates, log, and the verdict.

The page carries its data as columns of numbers, its scripts and the plotting library uPlot (50 KB, on a
canvas): it needs no network, ever, and opens at once with 1,000 nodes. Pictures out of sight are drawn when
scrolled to.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from dcompute_sim import trace as t
from dcompute_sim.checks.check import Status
from dcompute_sim.report.columns import columns
from dcompute_sim.report.console import WORD
from dcompute_sim.report.junit import offending_lines
from dcompute_sim.report.run_report import RunReport, tag
from dcompute_sim.report.text import event_fields, plural, seconds
from dcompute_sim.report.timeline import timeline
from dcompute_sim.report.why import why

MAX_WORK = 100_000  # tasks drawn; beyond that a page takes longer to open than a person waits
MAX_LOG = 4_000
SCRIPTS = ("uplot.js", "common.js", "lanes.js", "pictures.js")
STYLES = ("uplot.css", "palette.css", "report.css")
RATE_BINS = 400

_RATES: dict[type[t.Event], str] = {
    t.TaskSent: "tasks sent",
    t.TaskTaken: "tasks taken",
    t.ResultReceived: "results",
    t.StatusPublished: "statuses",
    t.DeathReported: "deaths",
}
_NOTABLE = (
    t.PhaseStarted,
    t.LogLine,
    t.NodeStopped,
    t.NodeDisconnected,
    t.NodeOutput,
    t.StatusRepaired,
    t.TaskDropped,
    t.TaskRefused,
    t.ResultDropped,
    t.ResultDuplicate,
    t.MasterStarted,
    t.MasterStopped,
    t.MasterConnected,
    t.MasterDisconnected,
    t.DeathReported,
    t.StaleDeathIgnored,
    t.MessageRejected,
    t.FaultInjected,
    t.FaultEffect,
    t.FaultEnded,
    t.BrokerStarted,
    t.BrokerStopped,
    t.RunEnded,
)


def html(run: RunReport) -> str:
    """Return the whole page."""
    assets = files("dcompute_sim.report") / "assets"
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(
        (assets / "report.html.j2").read_text("utf-8")
    )
    return template.render(
        run=run,
        plural=plural,
        seconds=seconds,
        status_word=WORD,
        statuses=Status,
        offending=[offending_lines(run, result.outcome) for result in run.verdict.results],
        reasons=[why(run.events, result) for result in run.verdict.results],
        style="\n".join((assets / name).read_text("utf-8") for name in STYLES),
        scripts=[(assets / name).read_text("utf-8") for name in SCRIPTS],
        data=_embedded(_data(run)),
    )


def _embedded(data: object) -> str:
    """Return JSON that is safe inside a script element, whatever names and texts it has."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _data(run: RunReport) -> dict[str, object]:
    line = timeline(run.events)
    return {
        **columns(line, MAX_WORK),
        "distributions": _distributions(run),
        "rates": _rates(run.events),
        "log": _log(run.events),
    }


def _distributions(run: RunReport) -> list[dict[str, object]]:
    return [
        {
            "check": result.name,
            "name": distribution.name,
            "unit": distribution.unit,
            "samples": [round(sample, 6) for sample in distribution.samples],
            "bound": distribution.bound,
        }
        for result in run.verdict.results
        for distribution in result.outcome.distributions
    ]


def _rates(events: Sequence[t.Event]) -> dict[str, object]:
    """Return events per second, in bins of at least a tenth of a second."""
    end_us = events[-1].t_us
    bin_us = max(100_000, -(-end_us // RATE_BINS))
    bins = {name: [0] * (end_us // bin_us + 1) for name in _RATES.values()}
    for event in events:
        name = _RATES.get(type(event))
        if name is not None:
            bins[name][event.t_us // bin_us] += 1
    return {"bin": bin_us, "counts": {name: counts for name, counts in bins.items() if any(counts)}}


def _log(events: Sequence[t.Event]) -> dict[str, object]:
    notable = [event for event in events if isinstance(event, _NOTABLE)]
    return {
        "of": len(notable),
        "rows": [
            [
                event.t_us,
                tag(event),
                getattr(event, "node", getattr(event, "who", "")),
                " ".join(f"{k}={v}" for k, v in event_fields(event).items() if k not in ("node", "who")),
            ]
            for event in notable[:MAX_LOG]
        ],
    }
