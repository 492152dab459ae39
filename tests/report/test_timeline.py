"""The timeline that pictures are drawn from, and the Chrome trace made of it."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict

import pytest
from dcompute_sim import trace as t
from dcompute_sim.report.perfetto import perfetto
from dcompute_sim.report.run_report import RunReport
from dcompute_sim.report.timeline import BROKER, MASTER, Timeline, TimelineSpan, timeline


@pytest.fixture
def line(good_run: RunReport) -> Timeline:
    return timeline(good_run.events)


def test_each_node_has_a_lane_and_each_status_an_end(line: Timeline, good_run: RunReport) -> None:
    assert len(line.nodes) == 10
    seen = [event for event in good_run.events if isinstance(event, t.NodeStatusSeen)]
    assert len(line.statuses) == len(seen)
    per_lane = defaultdict(list)
    for span in line.statuses:
        per_lane[span.lane].append(span)
    for spans in per_lane.values():
        assert all(a.end_us == b.start_us for a, b in itertools.pairwise(spans))
        assert spans[-1].end_us == 60_000_000


def test_faults_last_until_healed_and_lead_to_their_report(line: Timeline) -> None:
    drops = [span for span in line.faults if span.what == "wifi_drop"]
    assert all(span.end_us - span.start_us == 25_000_000 for span in drops)
    assert all("held 2 bytes" in span.detail for span in drops)
    crashes = [span for span in line.faults if span.what == "crash"]
    assert all(span.end_us == span.start_us for span in crashes)
    assert len(line.detections) == len(line.faults) == 4
    reports = {(mark.lane, mark.t_us) for mark in line.deaths}
    assert all((span.lane, span.end_us) in reports for span in line.detections)


def test_every_take_is_drawn_with_its_wait(line: Timeline, good_run: RunReport) -> None:
    taken = [event for event in good_run.events if isinstance(event, t.TaskTaken)]
    assert len(line.work) == len(taken) == 48
    assert all(work.received_us <= work.taken_us < work.end_us and work.finished for work in line.work)


def test_inversions_are_drawn_where_the_check_found_them(bad_run: RunReport) -> None:
    order = next(r for r in bad_run.verdict.results if r.name == "priority_order")
    wrong = [work for work in timeline(bad_run.events).work if work.passed_over]
    assert wrong
    assert len(wrong) == order.outcome.figures["inversions"]


def test_a_task_is_cut_off_where_its_node_stopped() -> None:
    events = [
        t.RunStarted(t_us=0, scenario="s", seed=1, time="real", broker="b", broker_granularity_s=0),
        t.TaskTaken(t_us=5, node="n", task="a", priority=1),
        t.NodeStopped(t_us=9, node="n", how="crash"),
        t.RunEnded(t_us=20, reason="finished"),
    ]
    (work,) = timeline(events).work
    assert (work.end_us, work.finished) == (9, False)


def test_outages_have_lanes_of_their_own() -> None:
    events = [
        t.RunStarted(t_us=0, scenario="s", seed=1, time="real", broker="b", broker_granularity_s=0),
        t.FaultInjected(t_us=1, fault="broker_restart-1", kind="broker_restart"),
        t.BrokerStopped(t_us=2, kept_memory=True),
        t.MasterDisconnected(t_us=3, reason="fin"),
        t.BrokerStarted(t_us=6),
        t.MasterConnected(t_us=8),
        t.RunEnded(t_us=20, reason="finished"),
    ]
    line = timeline(events)
    assert line.outages == [
        TimelineSpan(BROKER, 2, 6, "broker down"),
        TimelineSpan(MASTER, 3, 8, "master away"),
    ]
    assert line.faults[0].lane == BROKER


def test_the_chrome_trace_has_named_tracks_whose_slices_do_not_cross(good_run: RunReport) -> None:
    document = json.loads(perfetto(good_run))
    events = document["traceEvents"]
    names = {e["args"]["name"] for e in events if e["ph"] == "M"}
    assert {"broker, master", "esp", "pi", "esp-0001 status", "esp-0001 tasks"} <= names
    tracks = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            assert event["dur"] >= 0
            tracks[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for slices in tracks.values():
        slices.sort()
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(slices))
    begins = sorted(e["id"] for e in events if e["ph"] == "b")
    assert begins == sorted(e["id"] for e in events if e["ph"] == "e")
    assert sum(e["cat"] == "death" for e in events if e["ph"] == "i") == 4
    assert document["otherData"]["replay"] == good_run.replay
