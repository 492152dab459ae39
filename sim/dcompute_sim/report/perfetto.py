"""Chrome trace format, for ui.perfetto.dev or chrome://tracing: a process a group, tracks for each node."""

from __future__ import annotations

import json
from collections.abc import Iterator

from dcompute_sim.report.run_report import RunReport
from dcompute_sim.report.timeline import BROKER, MASTER, NOBODY, Mark, Timeline, timeline

_COMMON_PROCESS = 1  # broker, master, nobody; the groups follow
_TRACKS = ("status", "tasks")  # slices on one track must nest, and these do not nest in each other


def perfetto(run: RunReport) -> str:
    """Return the whole document; times are microseconds, as in the trace."""
    line = timeline(run.events)
    document = {
        "displayTimeUnit": "ms",
        "otherData": {"scenario": run.started.scenario, "seed": run.started.seed, "replay": run.replay},
        "traceEvents": list(_events(line)),
    }
    return json.dumps(document, separators=(",", ":")) + "\n"


def _events(line: Timeline) -> Iterator[dict[str, object]]:
    groups = list(dict.fromkeys(node.group for node in line.nodes))
    processes = {group: number for number, group in enumerate(groups, _COMMON_PROCESS + 1)}
    yield _name("process_name", "broker, master", _COMMON_PROCESS)
    for group, pid in processes.items():
        yield _name("process_name", group, pid)

    def where(lane: int, track: int = 0) -> dict[str, int]:
        if lane < 0:
            return {"pid": _COMMON_PROCESS, "tid": -lane}
        return {"pid": processes[line.nodes[lane].group], "tid": 10 + len(_TRACKS) * lane + track}

    for lane, name in ((BROKER, "broker"), (MASTER, "master"), (NOBODY, "no node")):
        yield _name("thread_name", name, **where(lane))
    for lane, node in enumerate(line.nodes):
        for track, kind in enumerate(_TRACKS):
            yield _name("thread_name", f"{node.node} {kind}", **where(lane, track))
    for span in [*line.statuses, *line.outages]:
        yield {
            "ph": "X",
            "cat": "status",
            "name": span.what,
            "ts": span.start_us,
            "dur": span.end_us - span.start_us,
            "args": {"detail": span.detail},
            **where(span.lane),
        }
    for work in line.work:
        yield {
            "ph": "X",
            "cat": "task",
            "name": f"{work.task} (priority {work.priority})",
            "ts": work.taken_us,
            "dur": work.end_us - work.taken_us,
            "args": {
                "priority": work.priority,
                "waited_us": work.taken_us - work.received_us,
                "finished": work.finished,
                "passed_over": work.passed_over,
            },
            **where(work.lane, 1),
        }
    for category, spans in (("fault", line.faults), ("detection", line.detections)):
        for number, span in enumerate(spans):  # asynchronous: faults of one node may overlap
            key = {"cat": category, "id": f"{category}-{number}", "name": span.what, **where(span.lane)}
            yield {"ph": "b", "ts": span.start_us, "args": {"detail": span.detail}, **key}
            yield {"ph": "e", "ts": span.end_us, **key}
    for mark in line.deaths:
        yield {"ph": "i", "s": "t", "cat": "death", **_instant(mark, "reported dead"), **where(mark.lane)}
    for mark in line.phases:
        yield {"ph": "i", "s": "g", "cat": "phase", **_instant(mark, mark.what), **where(mark.lane)}


def _name(what: str, name: str, pid: int, tid: int = 0) -> dict[str, object]:
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": {"name": name}}


def _instant(mark: Mark, name: str) -> dict[str, object]:
    return {"name": name, "ts": mark.t_us, "args": {"cause": mark.what, "detail": mark.detail}}
