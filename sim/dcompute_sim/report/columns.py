"""A timeline as columns of numbers and words: what the pictures of the report and of the page are drawn from.

A column a field, for a list of objects takes a browser several times as long to read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dcompute_sim import trace as t
from dcompute_sim.faults import kind_of
from dcompute_sim.report.timeline import Mark, Timeline, TimelineSpan, Work

Columns = dict[str, list[object]]


def columns(line: Timeline, most_work: int | None = None) -> dict[str, object]:
    """Return the whole timeline.

    Args:
        most_work: so many tasks at most, evenly thinned; every inversion is kept.
    """
    work: Sequence[Work] = line.work
    if most_work is not None:
        step = -(-len(work) // most_work) or 1
        work = [item for index, item in enumerate(work) if index % step == 0 or item.passed_over]
    return {
        "end": line.end_us,
        **_defined(line.nodes),
        "statuses": _spans(line.statuses),
        "faults": _spans(line.faults),
        "detections": _spans(line.detections),
        "outages": _spans(line.outages),
        "work": {"of": len(line.work), **_work(work)},
        "deaths": _marks(line.deaths),
        "phases": _marks(line.phases),
        "colours": _colours(line.faults),
    }


def changes(line: Timeline) -> dict[str, object]:
    """Return what is new in the timeline, or different, since this was asked last: columns as above, with the
    index of each row. The nodes are those that are new."""
    found: dict[str, object] = {}
    new = line.nodes.changed()
    if new:
        found.update(_defined([line.nodes[index] for index in new]))
    for name, make in _OF.items():
        rows = getattr(line, name)
        indices = rows.changed()
        if indices:
            found[name] = {"index": indices, **make([rows[index] for index in indices])}
    if "faults" in found:
        found["colours"] = _colours(line.faults)
    return found


def _defined(nodes: Sequence[t.NodeDefined]) -> Columns:
    return {"nodes": [node.node for node in nodes], "groups": [node.group for node in nodes]}


def _spans(spans: Sequence[TimelineSpan]) -> Columns:
    return {
        "lane": [span.lane for span in spans],
        "start": [span.start_us for span in spans],
        "end": [span.end_us for span in spans],
        "what": [span.what for span in spans],
        "detail": [span.detail for span in spans],
    }


def _marks(marks: Sequence[Mark]) -> Columns:
    return {
        "lane": [mark.lane for mark in marks],
        "t": [mark.t_us for mark in marks],
        "what": [mark.what for mark in marks],
        "detail": [mark.detail for mark in marks],
    }


def _work(work: Sequence[Work]) -> Columns:
    return {
        "lane": [item.lane for item in work],
        "task": [item.task for item in work],
        "priority": [item.priority for item in work],
        "received": [item.received_us for item in work],
        "taken": [item.taken_us for item in work],
        "end": [item.end_us for item in work],
        "finished": [int(item.finished) for item in work],
        "passed": [item.passed_over for item in work],
    }


_OF: dict[str, Callable[[Any], Columns]] = {
    "statuses": _spans,
    "faults": _spans,
    "detections": _spans,
    "outages": _spans,
    "work": _work,
    "deaths": _marks,
    "phases": _marks,
}


def _colours(faults: Sequence[TimelineSpan]) -> dict[str, str]:
    """Return those of the kinds of fault that have one of their own."""
    kinds = {span.what: kind_of(span.what) for span in faults}
    return {name: cls.colour for name, cls in kinds.items() if cls is not None and cls.colour}
