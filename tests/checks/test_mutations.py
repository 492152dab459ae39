"""Every check holds on a healthy run, and is caught out by each of a list of alterations of that run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from dcompute_sim import trace as t
from dcompute_sim.checks import CHECKS, CheckOutcome, Status

from .conftest import Damage

HEALTHY: dict[str, dict[str, Any]] = {
    "dead_within": {},
    "no_false_deaths": {},
    "callback_once": {},
    "priority_order": {},
    "fifo_within_priority": {},
    "all_tasks_finished": {},
    "no_lost_tasks": {},
    "no_lost_results": {},
    "no_duplicate_results": {},
    "results_match": {},
    "master_api": {},
    "executor_api": {},
    "room_kept": {},
    "queue_told": {},
    "counters": {"are": {"connections": 1, "stale_deaths": 0}},
    "recovers_within": {"bound": "20s"},
    "final_status": {"status": "ready"},
    "status_history": {},
    "retained_consistent": {},
    "latency": {"within": "7s"},
    "memory_below": {"limit": "32KiB"},
    "bounded_queue": {"limit": 4},
    "connection_rate": {"limit": 5, "within": "1s"},
    "no_errors_in_log": {},
    "updated": {},
    "damage_below": {"share": "50%"},
    "waves_kept": {},
    "clean_leave": {},
    "done_once": {},
    "suspects_alone": {"deaths": 0},
    "fleet_priority": {"within": "10ms"},
    "no_starvation": {"within": "150ms"},
    "wire_protocol": {},
    "tasks_as_sent": {},
    "busy_at_work": {},
    "node_api": {},
    "repairs": {},
    "malformed_rejected": {},
    "declared_in_time": {},
    "held_in_order": {},
    "battery_lasts": {"at_least": "20h"},
    "wakes_up": {"every": "15s", "within": "2s"},
    "never": {"event": "death_reported", "where": {"node": "n1"}},
    "sometimes": {"event": "death_reported", "where": {"node": "n2"}},
}

COUNTED = {"connections": 1, "messages_rejected": 0, "duplicate_results": 0, "stale_deaths": 0}
TAKEN, RECEIVED = t.TaskTaken, t.TaskReceived

Mutation = Callable[[Damage], Callable[[list[t.Event]], list[t.Event]]]

MUTATIONS: list[tuple[str, str, Mutation]] = [
    # check, what was done to the trace, how
    ("dead_within", "a report lost", lambda d: d.drop(t.DeathReported, node="n2")),
    ("dead_within", "a silent death's report lost", lambda d: d.drop(t.DeathReported, node="n4")),
    ("dead_within", "a reset's report late", lambda d: d.delay(3, t.DeathReported, node="n3")),
    ("dead_within", "a silent death's report late", lambda d: d.delay(4, t.DeathReported, node="n4")),
    (
        "dead_within",
        "a report names another node",
        lambda d: d.change(t.DeathReported, {"node": "n1"}, node="n2"),
    ),
    (
        "dead_within",
        "a report names another life",
        lambda d: d.change(t.DeathReported, {"inc": "x"}, node="n2"),
    ),
    ("dead_within", "a crash that nobody noticed", lambda d: d.insert(crash("n1"), t.NodeMemory, node="n1")),
    ("dead_within", "a blink that lasted", lambda d: d.drop(t.FaultEnded, nth=1, node="n4")),
    ("no_false_deaths", "a report without cause", lambda d: d.insert(death("n1"), t.NodeMemory, node="n1")),
    (
        "no_false_deaths",
        "a report of the wrong node",
        lambda d: d.change(t.DeathReported, {"node": "n1"}, node="n2"),
    ),
    (
        "no_false_deaths",
        "a report before its cause",
        lambda d: d.insert(death("n3"), t.NodeMemory, node="n3"),
    ),
    (
        "no_false_deaths",
        "a stale will believed",
        lambda d: d.insert(death("n3"), t.NodeStatusSeen, nth=2, node="n3"),
    ),
    ("no_false_deaths", "a late report of an old life", lambda d: d.delay(5, t.DeathReported, node="n3")),
    ("no_false_deaths", "a death of nobody", lambda d: d.change(t.DeathReported, {"inc": "x"}, node="n2")),
    ("no_false_deaths", "the blink caused a death", lambda d: d.insert(death("n4", "1.2"), t.RetainedStatus)),
    ("callback_once", "a callback repeated", lambda d: d.double(t.DeathReported, node="n2")),
    ("callback_once", "the last callback repeated", lambda d: d.double(t.DeathReported, node="n4")),
    (
        "priority_order",
        "two takes swapped",
        lambda d: d.swap((TAKEN, {"task": "high"}), (TAKEN, {"task": "low"})),
    ),
    ("priority_order", "a take forgotten", lambda d: d.drop(TAKEN, task="high")),
    ("priority_order", "a take repeated", lambda d: d.double(TAKEN, task="high")),
    ("priority_order", "an arrival forgotten", lambda d: d.drop(RECEIVED, task="high")),
    (
        "priority_order",
        "a priority lowered on the way",
        lambda d: d.change(TAKEN, {"priority": 1}, task="high"),
    ),
    ("priority_order", "a priority misread", lambda d: d.change(RECEIVED, {"priority": 10}, task="low")),
    (
        "fifo_within_priority",
        "equals swapped",
        lambda d: d.swap((TAKEN, {"task": "mid-1"}), (TAKEN, {"task": "mid-2"})),
    ),
    (
        "fifo_within_priority",
        "arrivals swapped",
        lambda d: d.swap((RECEIVED, {"task": "mid-1"}), (RECEIVED, {"task": "mid-2"})),
    ),
    ("fifo_within_priority", "a take forgotten", lambda d: d.drop(TAKEN, task="mid-1")),
    ("all_tasks_finished", "a result lost", lambda d: d.drop(t.ResultReceived, task="mid-1")),
    ("all_tasks_finished", "a second attempt lost", lambda d: d.drop(t.ResultReceived, task="orphan")),
    (
        "all_tasks_finished",
        "a result of another task",
        lambda d: d.change(t.ResultReceived, {"task": "x"}, task="low"),
    ),
    ("all_tasks_finished", "a task more", lambda d: d.insert(sent("extra"), t.NodeMemory)),
    ("no_lost_tasks", "a result lost", lambda d: d.drop(t.ResultReceived, task="mid-1")),
    (
        "no_lost_tasks",
        "a task sent to the dead",
        lambda d: d.insert(sent("extra", "n2"), t.DeathReported, node="n2"),
    ),
    ("no_lost_results", "a result lost", lambda d: d.drop(t.ResultReceived, task="mid-1")),
    (
        "no_lost_results",
        "a result of another task",
        lambda d: d.change(t.ResultReceived, {"task": "x"}, task="low"),
    ),
    (
        "no_lost_results",
        "another node's result",
        lambda d: d.change(t.ResultReceived, {"node": "n3"}, task="orphan"),
    ),
    (
        "no_lost_results",
        "a result before its work",
        lambda d: d.swap((t.ResultReceived, {"task": "high"}), (t.TaskFinished, {"task": "high"})),
    ),
    ("no_duplicate_results", "a result repeated", lambda d: d.double(t.ResultReceived, task="low")),
    (
        "no_duplicate_results",
        "two tasks' results merged",
        lambda d: d.change(t.ResultReceived, {"task": "high"}, task="low"),
    ),
    (
        "results_match",
        "a value altered on the way",
        lambda d: d.change(t.ResultTaken, {"answer": "e"}, task="low"),
    ),
    ("results_match", "a result of no task", lambda d: d.drop(t.TaskAsked, task="low")),
    ("results_match", "a result nobody was asked for", lambda d: d.drop(t.TaskSent, task="low")),
    (
        "results_match",
        "another task's id",
        lambda d: d.change(t.ResultTaken, {"task": "high"}, task="low"),
    ),
    (
        "results_match",
        "another node's result",
        lambda d: d.change(t.ResultTaken, {"node": "n3"}, task="low"),
    ),
    (
        "results_match",
        "a task that failed for no reason",
        lambda d: d.change(t.ResultTaken, {"answer": "an error", "ok": False}, task="low"),
    ),
    ("results_match", "another reason", lambda d: d.change(t.ResultTaken, {"why": "V"}, task="bad")),
    ("results_match", "no traceback", lambda d: d.change(t.ResultTaken, {"traced": ""}, task="bad")),
    (
        "results_match",
        "an attempt of another node",
        lambda d: d.change(t.ResultTaken, {"attempt": 1}, task="orphan"),
    ),
    ("status_history", "an incarnation twice", lambda d: d.double(t.NodeConnecting, node="n1")),
    ("master_api", "a callback never", lambda d: d.drop(t.DeathsCalledBack, nodes=["n2"])),
    ("master_api", "a callback twice", lambda d: d.double(t.DeathsCalledBack, nodes=["n2"])),
    ("master_api", "a callback late", lambda d: d.delay(2, t.DeathsCalledBack, nodes=["n4"])),
    (
        "master_api",
        "a callback of another",
        lambda d: d.change(t.DeathsCalledBack, {"nodes": ["n1"]}, nodes=["n2"]),
    ),
    (
        "master_api",
        "a callback of one more",
        lambda d: d.change(t.DeathsCalledBack, {"nodes": ["n2", "n1"]}, nodes=["n2"]),
    ),
    ("master_api", "a death not listed", lambda d: d.change(t.DeadNodesTaken, {"nodes": ["n2", "n3"]})),
    (
        "master_api",
        "the dead out of order",
        lambda d: d.change(t.DeadNodesTaken, {"nodes": ["n3", "n2", "n4"]}),
    ),
    ("master_api", "the dead not taken out", lambda d: d.change(t.DeadNodesTaken, {"left": ["n2"]})),
    ("master_api", "a result never given", lambda d: d.drop(t.ResultTaken, task="low")),
    ("master_api", "a result given twice", lambda d: d.double(t.ResultTaken, task="low")),
    ("master_api", "another value", lambda d: d.change(t.ResultTaken, {"value": "e"}, task="low")),
    ("master_api", "results not removed", lambda d: d.insert(left(), t.ResultTaken, task="low")),
    ("master_api", "a wrong status", lambda d: d.change(t.MasterAnswered, {"status": "busy"}, node="n1")),
    ("master_api", "a wrong incarnation", lambda d: d.change(t.MasterAnswered, {"inc": "x"}, node="n1")),
    ("master_api", "not in its list", lambda d: d.change(t.MasterAnswered, {"listed": False}, node="n1")),
    (
        "executor_api",
        "a dead node",
        lambda d: d.change(t.ExecutorAnswered, {"nodes": ["n1", "n2", "n3", "n4"]}),
    ),
    ("executor_api", "a node left out", lambda d: d.change(t.ExecutorAnswered, {"nodes": ["n1", "n3"]})),
    ("executor_api", "a task uncounted", lambda d: d.drop(t.TaskAsked, task="more")),
    (
        "executor_api",
        "another result when asked anew",
        lambda d: d.insert(told_again("other"), t.TaskSettled, task="some"),
    ),
    (
        "executor_api",
        "progress in other words",
        lambda d: d.change(t.TaskProgressed, {"text": ""}, task="some"),
    ),
    (
        "executor_api",
        "progress of another task",
        lambda d: d.change(t.TaskProgressed, {"task": "more"}, task="some"),
    ),
    ("executor_api", "progress that is not so far", lambda d: d.change(t.TaskProgressed, {"percent": 41})),
    ("room_kept", "a larger bound", lambda d: d.change(t.ExecutorStarted, {"max_pending": 3})),
    ("room_kept", "nothing was on the way", lambda d: d.drop(t.TaskAdmitted, task="urgent")),
    ("queue_told", "no longer told", lambda d: d.drop(t.QueueTold, done=4)),
    ("queue_told", "another count", lambda d: d.change(t.QueueTold, {"done": 2})),
    ("queue_told", "another priority", lambda d: d.change(t.QueueTold, {"by_priority": {"2": 1}})),
    ("queue_told", "counts that do not add up", lambda d: d.change(t.QueueTold, {"waiting": 2})),
    ("executor_api", "an end that was never told", lambda d: d.drop(t.TaskSettled, task="more")),
    (
        "executor_api",
        "a failure uncounted",
        lambda d: d.change(t.TaskSettled, {"outcome": "failed"}, task="more"),
    ),
    ("master_api", "a shared record", lambda d: d.change(t.MasterAnswered, {"shared": True}, node="n1")),
    ("master_api", "a wrong counter", lambda d: d.change(t.MasterCounted, {"values": {"connections": 1}})),
    (
        "master_api",
        "more results dropped than are missing",
        lambda d: d.change(t.MasterCounted, {"values": {**COUNTED, "results_dropped": 1}}),
    ),
    (
        "counters",
        "another figure",
        lambda d: d.change(t.MasterCounted, {"values": {**COUNTED, "stale_deaths": 1}}),
    ),
    ("master_api", "an error while connected", lambda d: d.insert(polled(True, "x"), t.NodeMemory)),
    (
        "master_api",
        "an error of before while connected",
        lambda d: d.insert(polled(True, "no route"), t.NodeMemory),
    ),
    ("master_api", "no connection, and no word of it", lambda d: d.insert(polled(False), t.NodeMemory)),
    ("recovers_within", "the node never connects", lambda d: d.drop(t.NodeConnected, nth=1, node="n3")),
    ("recovers_within", "the master does not notice", lambda d: d.drop(t.NodeStatusSeen, nth=2, node="n3")),
    (
        "recovers_within",
        "the node connects too late",
        lambda d: d.delay(25, t.NodeStatusSeen, nth=2, node="n3"),
    ),
    (
        "recovers_within",
        "given up again",
        lambda d: d.insert(seen_dead("n4", "1.2"), t.NodeStatusSeen, nth=2, node="n4"),
    ),
    ("final_status", "a ghost", lambda d: d.change(t.FinalNode, {"master_status": "ready"}, node="n2")),
    (
        "final_status",
        "a node buried alive",
        lambda d: d.change(t.FinalNode, {"master_status": "dead"}, node="n1"),
    ),
    ("final_status", "a node left busy", lambda d: d.change(t.FinalNode, {"own_status": "busy"}, node="n1")),
    (
        "final_status",
        "a node not connected",
        lambda d: d.change(t.FinalNode, {"connected": False}, node="n4"),
    ),
    ("final_status", "a node unknown", lambda d: d.change(t.FinalNode, {"master_status": ""}, node="n1")),
    *(
        (
            check,
            "one who was forgotten",
            lambda d: d.insert(t.NodeForgotten(t_us=0, node="n2"), t.DeathsCalledBack, nodes=["n2"]),
        )
        for check in ("final_status", "retained_consistent", "master_api")
    ),
    (
        "status_history",
        "an old life returns",
        lambda d: d.change(t.NodeStatusSeen, {"inc": "1.1"}, nth=2, node="n4"),
    ),
    (
        "status_history",
        "life after death",
        lambda d: d.insert(seen("n2", "ready"), t.DeathReported, node="n2"),
    ),
    (
        "status_history",
        "a node calls itself dead",
        lambda d: d.change(t.StatusPublished, {"status": "dead"}, node="n1"),
    ),
    (
        "retained_consistent",
        "a dead retained",
        lambda d: d.change(t.RetainedStatus, {"status": "dead"}, node="n3"),
    ),
    (
        "retained_consistent",
        "a ready retained",
        lambda d: d.change(t.RetainedStatus, {"status": "ready"}, node="n2"),
    ),
    (
        "retained_consistent",
        "an old life retained",
        lambda d: d.change(t.RetainedStatus, {"inc": "1.1"}, node="n3"),
    ),
    ("retained_consistent", "nothing retained", lambda d: d.drop(t.RetainedStatus, node="n1")),
    ("latency", "a result late", lambda d: d.delay(10, t.ResultReceived, task="low")),
    ("memory_below", "a leak", lambda d: d.change(t.NodeMemory, {"allocated": 40_000}, node="n4")),
    ("bounded_queue", "one task more", lambda d: d.insert(received("n1"), RECEIVED, task="mid-2")),
    ("bounded_queue", "room that was not used", lambda d: d.insert(dropped("n1"), RECEIVED, task="mid-2")),
    ("wire_protocol", "a retained result", lambda d: d.insert(broken("n1"), t.ResultHeld, task="low")),
    ("tasks_as_sent", "another priority", lambda d: d.change(RECEIVED, {"priority": 1}, task="high")),
    (
        "tasks_as_sent",
        "priority lost by the master",
        lambda d: d.change(t.TaskSent, {"priority": 5}, task="high"),
    ),
    ("tasks_as_sent", "a task of nobody", lambda d: d.drop(t.TaskSent, task="low")),
    ("tasks_as_sent", "a task of another node", lambda d: d.change(t.TaskSent, {"node": "n3"}, task="low")),
    ("tasks_as_sent", "a repeat taken in", lambda d: d.double(RECEIVED, task="high")),
    (
        "tasks_as_sent",
        "a retained task obeyed",
        lambda d: d.insert(received("n4"), t.NodeConnected, nth=1, node="n4"),
    ),
    ("busy_at_work", "never said busy", lambda d: d.drop(t.StatusPublished, status="busy")),
    (
        "busy_at_work",
        "ready in the midst",
        lambda d: d.insert(published("n1", "ready"), t.StatusPublished, status="busy"),
    ),
    (
        "node_api",
        "a counter that stands",
        lambda d: d.change(t.Counters, {"values": {"messages_rejected": 0}}),
    ),
    ("node_api", "a callback missed", lambda d: d.change(t.Counters, {"values": {"task_callbacks": 4}})),
    ("repairs", "nobody had said it", lambda d: d.drop(t.SaidGone)),
    ("repairs", "long put right", lambda d: d.insert(repaired("n4"), t.WireHeard)),
    (
        "declared_in_time",
        "given up at once",
        lambda d: d.change(t.DeathReported, {"cause": "silent"}, node="n2"),
    ),
    (
        "held_in_order",
        "a later result first",
        lambda d: d.swap(
            (t.ResultReceived, {"node": "n1", "task": "high"}),
            (t.ResultReceived, {"node": "n1", "task": "low"}),
        ),
    ),
    (
        "held_in_order",
        "the newest dropped",
        lambda d: d.insert(result_dropped("n1", "low"), t.ResultHeld, node="n1", task="low"),
    ),
    ("malformed_rejected", "obeyed", lambda d: d.drop(t.MessageRejected)),
    ("malformed_rejected", "a good one rejected", lambda d: d.double(t.MessageRejected)),
    ("connection_rate", "one connection more", lambda d: d.insert(opened("n1"), t.WireOpened)),
    ("no_errors_in_log", "an error", lambda d: d.insert(log("error"), t.NodeMemory)),
    ("no_errors_in_log", "an exception", lambda d: d.insert(log("critical"), t.NodeMemory)),
    (
        "updated",
        "the old version stayed",
        lambda d: d.change(t.FinalVersion, {"version": "v1"}, node="n1"),
    ),
    ("updated", "the broken one runs", lambda d: d.change(t.FinalVersion, {"version": "v2"}, node="n3")),
    ("updated", "nobody saw the fallback", lambda d: d.drop(t.UpdateState, node="n3")),
    ("updated", "a board is gone", lambda d: d.change(t.FinalNode, {"running": False}, node="n1")),
    ("updated", "a board is dead", lambda d: d.change(t.FinalNode, {"master_status": "dead"}, node="n3")),
    ("updated", "a board tells nothing", lambda d: d.drop(t.FinalVersion, node="n1")),
    (
        "updated",
        "a good one was left",
        lambda d: d.change(t.UpdateStarted, {"broken": ""}, node="n3"),
    ),
    ("updated", "a campaign never came to it", lambda d: d.drop(t.UpdateStarted, node="n1")),
    ("damage_below", "one more is left", lambda d: d.change(t.FinalVersion, {"version": "v1"}, node="n1")),
    (
        "damage_below",
        "a board is dead",
        lambda d: d.change(t.FinalNode, {"master_status": "dead"}, node="n1"),
    ),
    ("damage_below", "a board is not there", lambda d: d.drop(t.FinalNode, node="n1")),
    ("damage_below", "all that is aborted", lambda d: d.change(t.CampaignEnded, {"aborted": "so"})),
    ("waves_kept", "no pause", lambda d: d.delay(1, t.UpdateState, node="n1")),
    ("waves_kept", "other canaries", lambda d: d.change(t.CampaignStarted, {"canaries": ("n3",)})),
    ("waves_kept", "not aborted", lambda d: d.change(t.CampaignStarted, {"abort": 0.4})),
    ("waves_kept", "aborted for nothing", lambda d: d.change(t.CampaignEnded, {"aborted": "so"})),
    (
        "waves_kept",
        "a board that did not answer is left",
        lambda d: d.change(t.UpdateState, {"state": "failed"}, node="n1"),
    ),
    (
        "waves_kept",
        "one more after a failure",
        lambda d: d.change(t.UpdateState, {"state": "refused"}, node="n1"),
    ),
    ("clean_leave", "its will came", lambda d: d.insert(seen_dead("n5", "1.1"), t.NodeStopped, node="n5")),
    ("clean_leave", "nobody heard it", lambda d: d.drop(t.NodeStatusSeen, node="n5", status="offline")),
    ("clean_leave", "heard late", lambda d: d.delay(6, t.NodeStatusSeen, node="n5", status="offline")),
    ("clean_leave", "its program went on", lambda d: d.drop(t.NodeStopped, node="n5")),
    ("clean_leave", "its program went on for long", lambda d: d.delay(6, t.NodeStopped, node="n5")),
    ("clean_leave", "it crashed instead", lambda d: d.change(t.NodeStopped, {"how": "crash"}, node="n5")),
    (
        "clean_leave",
        "`ready` is retained",
        lambda d: d.change(t.RetainedStatus, {"status": "ready"}, node="n5"),
    ),
    (
        "clean_leave",
        "`dead` is retained",
        lambda d: d.change(t.RetainedStatus, {"status": "dead"}, node="n5"),
    ),
    ("clean_leave", "its last result was lost", lambda d: d.drop(t.ResultReceived, node="n5")),
    (
        "clean_leave",
        "it took a task after its last word",
        lambda d: d.insert(taken("n5"), t.StatusPublished, node="n5", status="offline"),
    ),
    ("done_once", "its asker is told twice", lambda d: d.double(t.TaskSettled, task="some")),
    ("done_once", "its asker is never told", lambda d: d.drop(t.TaskSettled, task="some")),
    ("done_once", "it runs twice", lambda d: d.double(t.ExecutionBegan, task="some")),
    ("done_once", "told of what never ran", lambda d: d.drop(t.ExecutionBegan, task="some")),
    ("done_once", "somebody else is told", lambda d: d.change(t.TaskSettled, {"asker": "y"}, task="some")),
    (
        "suspects_alone",
        "sent before the other one was over",
        lambda d: d.swap((t.TaskSent, {"task": "more"}), (t.TaskFinished, {"task": "some"})),
    ),
    (
        "fleet_priority",
        "the last was the urgent one",
        lambda d: d.change(t.TaskAsked, {"priority": 10}, task="more"),
    ),
    ("no_starvation", "left while its node was idle", lambda _: never_sent("more")),
    (
        "battery_lasts",
        "one draws more",
        lambda d: d.change(t.NodePower, {"microamperes": 130_000}, node="n3"),
    ),
    ("wakes_up", "a long silence without a fault", lambda d: d.drop(t.FaultInjected, node="n2")),
    ("never", "it happened", lambda d: d.insert(death("n1"), t.NodeMemory, node="n1")),
    ("sometimes", "it did not happen", lambda d: d.drop(t.DeathReported, node="n2")),
]


def told_again(value: str) -> t.ToldAgain:
    return t.ToldAgain(t_us=0, asker="x", task="some", outcome="result", value=value)


def never_sent(task: str) -> Callable[[list[t.Event]], list[t.Event]]:
    """All that is known of the task is that it was asked for."""
    return lambda events: [e for e in events if isinstance(e, t.TaskAsked) or getattr(e, "task", "") != task]


def crash(node: str) -> t.FaultInjected:
    return t.FaultInjected(t_us=0, fault="late", kind="crash", node=node)


def opened(node: str) -> t.WireOpened:
    return t.WireOpened(t_us=0, node=node, conn=99)


def death(node: str, inc: str = "1.1") -> t.DeathReported:
    return t.DeathReported(t_us=0, node=node, inc=inc, cause="will")


def sent(task: str, node: str = "n1") -> t.TaskSent:
    return t.TaskSent(t_us=0, node=node, task=task, priority=5)


def taken(node: str) -> t.TaskTaken:
    return t.TaskTaken(t_us=0, node=node, task="extra", priority=5)


def received(node: str) -> t.TaskReceived:
    return t.TaskReceived(t_us=0, node=node, task="extra", priority=5)


def dropped(node: str) -> t.TaskDropped:
    return t.TaskDropped(t_us=0, node=node, task="extra", reason="queue full")


def result_dropped(node: str, task: str) -> t.ResultDropped:
    return t.ResultDropped(t_us=0, node=node, task=task)


def broken(node: str) -> t.ProtocolBroken:
    return t.ProtocolBroken(t_us=0, who=node, topic="results", what="a retained result")


def published(node: str, status: str) -> t.StatusPublished:
    return t.StatusPublished(t_us=0, node=node, status=status, inc="1.1")


def repaired(node: str) -> t.StatusRepaired:
    return t.StatusRepaired(t_us=0, node=node, inc="1.2")


def seen(node: str, status: str, inc: str = "1.1") -> t.NodeStatusSeen:
    return t.NodeStatusSeen(t_us=0, node=node, status=status, inc=inc)


def seen_dead(node: str, inc: str) -> t.NodeStatusSeen:
    return seen(node, "dead", inc)


def left() -> t.ResultsLeft:
    return t.ResultsLeft(t_us=0, count=1, differing=[])


def polled(connected: bool, last_error: str = "") -> t.MasterPolled:
    return t.MasterPolled(t_us=0, connected=connected, last_error=last_error)


def log(level: str) -> t.LogLine:
    return t.LogLine(t_us=0, who="n1", level=level, text="boom")


def judge(name: str, events: Sequence[t.Event]) -> CheckOutcome:
    return CHECKS[name].model_validate(HEALTHY[name]).judge(events)


def test_every_check_has_a_healthy_run_and_mutations() -> None:
    assert set(HEALTHY) == set(CHECKS)
    assert {name for name, _, _ in MUTATIONS} == set(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_the_healthy_run_is_held(name: str, healthy: list[t.Event]) -> None:
    outcome = judge(name, healthy)
    assert outcome.status is Status.HELD, outcome.summary


@pytest.mark.parametrize(
    ("name", "mutation"),
    [pytest.param(name, mutation, id=f"{name}: {what}") for name, what, mutation in MUTATIONS],
)
def test_a_mutation_is_caught(name: str, mutation: Mutation, healthy: list[t.Event], damage: Damage) -> None:
    altered = mutation(damage)(healthy)
    assert altered != healthy
    outcome = judge(name, altered)
    assert outcome.status is Status.FAILED, outcome.summary
    assert outcome.offending or name == "sometimes"
    made_up = [event for event in outcome.offending if not any(event is known for known in altered)]
    assert not made_up, "what is shown has to be in the trace"
