"""Why tasks have no result: to whom they were last given, and what became of them there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dcompute.parts import noun, number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.all_tasks_finished import AllTasksFinished
from dcompute_sim.checks.check import named
from dcompute_sim.checks.history import History, Life, history_of, is_momentary
from dcompute_sim.checks.tasks import Task, tasks
from dcompute_sim.checks.under_way import UnderWay
from dcompute_sim.checks.verdict import Result
from dcompute_sim.report.text import counted, plural, seconds
from dcompute_sim.trace.replayer import Replay

_MOST_NODES = 3
_FULL = "queue full"
_AT_WORK = "still at work there"
_QUEUED = "still in its queue"
_BROKER_FULL = "the broker dropped it, for more waited for that node than its queue holds"
_TOO_LARGE = "it did not take a message so large"
_SLOW = "its link is slow"
_NOT_TAKEN = "was not taken"  # the firmware's own word for it
_UNKNOWN = "it was connected; nothing in the trace says why"


def unfinished(events: Sequence[t.Event], result: Result) -> list[str]:
    """Return who has the tasks without a result, what became of them there, and in what state these nodes
    ended."""
    judged = result.check
    without = {
        name: task
        for name, task in tasks(events).items()
        if (task.sent or task.asked) and not (task.results or task.ends)
        if not isinstance(judged, AllTasksFinished) or judged.wants(task)
    }
    unsent = [task for task in without.values() if not task.sent]
    open_tasks = {name: task for name, task in without.items() if task.sent}
    replay = Replay()
    for event in events:
        replay.take_in(event)
    history, at_end = history_of(events), UnderWay(events)
    waits = [_unsent(len(unsent), replay, history, events)] if unsent else []
    waits += _given_up(events, result)
    if not open_tasks:
        return waits
    drops, hints = _dropped(events), _on_the_way(events)
    by_node = Counter(task.sent[-1].node for task in open_tasks.values())
    fates = {node: Counter[str]() for node in by_node}
    for name, task in open_tasks.items():
        node = task.sent[-1].node
        fates[node][_fate(name, task, drops, hints, history, at_end)] += 1
    first = [node for node, _ in by_node.most_common(_MOST_NODES)]
    told = [_whose(by_node, first, len(open_tasks))]
    for node in first:
        fate = "; ".join(f"{count:,} {words}" for words, count in fates[node].most_common())
        told.append(f"{node}: {fate}. At the end {_state(replay, history, node)}")
    told = [*waits, *told] if len(unsent) > len(open_tasks) else [*told, *waits]
    return [*told, *_to_try(events, sum(fates.values(), Counter()), len(without))]


def _given_up(events: Sequence[t.Event], result: Result) -> list[str]:
    """Return which of those that lack a result have another end: who asked for them has given them up."""
    wanted = {getattr(event, "task", "") for event in result.outcome.offending}
    by_end: dict[tuple[str, str], list[Task]] = {}
    for name, task in tasks(events).items():
        if name in wanted and task.ends and not task.results:
            node = task.ends[-1].node or (task.sent[-1].node if task.sent else "")
            by_end.setdefault((task.ends[-1].outcome, node), []).append(task)
    told = []
    for (outcome, node), ended in by_end.items():
        where = f", sent to {node} last" if node else ""
        told.append(f"{plural(len(ended), 'task')} given up by the executor: {outcome}{where}")
        if outcome == "quarantined":
            times = max(len({(sent.node, sent.attempt) for sent in task.sent}) for task in ended)
            told[-1] += (
                f", after up to {plural(times, 'attempt')} that ended with their node's connection; `losses` "
                "of `master:` says how many may"
            )
    return told


def _to_try(events: Sequence[t.Event], fates: Counter[str], without: int) -> list[str]:
    """Return what would help, where what became of most says so."""
    if deaf := _deaf(events):
        return [
            f"what to try: {named(deaf)} took no task at all: a program gets them on the topic that is its "
            "node's id, if it subscribes to that"
        ]
    if elsewhere := _answering_elsewhere(events):
        said = "; ".join(f"{named(nodes)} to {topics}" for topics, nodes in elsewhere.items())
        return [
            "what to try: results on the topic `results`, with `node_id` and `task_id`; what is published is "
            f"no such thing: {said}"
        ]
    ((fate, count),) = fates.most_common(1)
    if 2 * count < sum(fates.values()):
        return []
    if fate == f"refused there: {_FULL}":
        return [
            "what to try: a larger `queue_limit`, a slower stream, or `via: executor`, which sends a node no "
            "more than it takes"
        ]
    if fate == f"never reached it: {_BROKER_FULL}":
        return [
            "what to try: a longer queue of the broker (`limits: {queued: ...}`, mosquitto's "
            "`max_queued_messages`), a slower stream, or `via: executor`, which sends again what was dropped"
        ]
    if fate == f"never reached it: {_TOO_LARGE}":
        return ["what to try: a smaller `payload`: how much a node takes it announces, as `largest`"]
    if fate.startswith(f"never reached it: {_SLOW}"):
        return ["what to try: a smaller `payload`, more `bandwidth`, or more time (`duration:`)"]
    if fate in (_QUEUED, _AT_WORK):
        done = sum(bool(task.results or task.ends) for task in tasks(events).values())
        return [
            f"what to try: more time (`duration:`), more nodes or shorter `work`: {done:,} were done until "
            f"{seconds(events[-1].t_s)}, {without:,} are left"
        ]
    return []


def _deaf(events: Sequence[t.Event]) -> list[str]:
    """Return who runs a program of somebody else's, was sent tasks, and took none."""
    sent: dict[str, None] = {}
    foreign: set[str] = set()
    for event in events:
        match event:
            case t.NodeDefined(node=node, foreign=True):
                foreign.add(node)
            case t.TaskSent(node=node) if node in foreign:
                sent[node] = None
            case t.TaskReceived(node=node):
                foreign.discard(node)
    return [node for node in sent if node in foreign]


def _answering_elsewhere(events: Sequence[t.Event]) -> dict[str, list[str]]:
    """Return what those publish in vain who took tasks and gave no result that is one, and who they are."""
    took: dict[str, None] = {}
    unread: dict[str, dict[str, str]] = {}
    for event in events:
        match event:
            case t.TaskReceived(node=node):
                took[node] = None
            case t.PublishUnread(node=node, topic=topic, reason=reason):
                unread.setdefault(node, {})[topic] = reason
            case t.TaskFinished(node=node):
                unread.pop(node, None)
    found: dict[str, list[str]] = {}
    for node in took:
        if node in unread:
            said = ", ".join(f"`{topic}` ({reason})" for topic, reason in unread[node].items())
            found.setdefault(said, []).append(node)
    return found


def _unsent(count: int, replay: Replay, history: History, events: Sequence[t.Event]) -> str:
    """Tell why an executor kept tasks: as it says itself; or nobody was left, or all had as many as they
    take."""
    told = f"{plural(count, 'task')} never sent"
    answers = [it for it in events if isinstance(it, t.ExecutorAnswered)]
    if says := next((it.error for it in answers if it.error), ""):
        return f"{told}: {says}"
    if answers and not any(it.values.get("waiting") for it in answers):
        return f"{told}: the executor never took them in"
    nodes = [node for node in history.stories if node]
    away = [node for node in nodes if replay.nodes[node].link != "connected"]
    if len(away) < len(nodes) or not nodes:
        gone = (
            (
                f" ({len(away)} of {number_of(len(nodes), 'node')} "
                f"{noun(len(away), 'is', 'are')} away at the end)"
            )
            if away
            else ""
        )
        return f"{told}: no node that could take one had room{gone}"
    last = Counter(fault.kind for node in nodes for fault in history.story(node).faults[-1:])
    causes = f"; what befell them last: {counted(last)}" if last else ""
    return f"{told}: no node was left, all {len(nodes)} are away at the end{causes}"


def _whose(by_node: Counter[str], first: Sequence[str], count: int) -> str:
    if len(by_node) == 1:
        return f"{plural(count, 'task')} without a result, all last given to {first[0]}"
    most = ", ".join(f"{by_node[node]:,} to {node}" for node in first)
    return (
        f"{plural(count, 'task')} without a result, last given to {number_of(len(by_node), 'node')}: {most}"
    )


def _dropped(events: Sequence[t.Event]) -> dict[tuple[str, str], t.Event]:
    """Return (task, node) -> the last time that somebody refused or dropped it, and said so."""
    found: dict[tuple[str, str], t.Event] = {}
    for event in events:
        if isinstance(
            event, (t.TaskDropped, t.TaskRefused, t.TaskSetAside, t.ResultDropped, t.ResultSetAside)
        ):
            found[event.task, event.node] = event
    return found


def _fate(
    name: str,
    task: Task,
    drops: dict[tuple[str, str], t.Event],
    hints: dict[str, list[t.Event]],
    history: History,
    at_end: UnderWay,
) -> str:
    """Return what became of a task where it was sent last."""
    last = task.sent[-1]
    node = last.node
    # An executor in doubt sends the same again: what counts is since when that node could have it.
    since_us = next(sent.t_us for sent in task.sent if (sent.node, sent.attempt) == (node, last.attempt))
    match drops.get((name, node)):
        case t.TaskDropped(t_us=at_us, reason=reason) if at_us >= since_us:
            return f"refused there: {reason}"
        case t.TaskRefused(t_us=at_us, reason=reason) if at_us >= since_us:
            return f"not sent: {reason}"
        case t.TaskSetAside(t_us=at_us, reason=reason) if at_us >= since_us:
            return f"set aside by the master: {reason}"
        case t.ResultDropped(t_us=at_us) if at_us >= since_us:
            return "done, and the result dropped: the node held too many"
        case t.ResultSetAside(t_us=at_us, reason=reason) if at_us >= since_us:
            return f"done, and the result set aside: {reason}"
    stop = _stop_after(history, node, since_us)
    if any(event.node == node and event.t_us >= since_us for event in task.held):
        late = "on its way when the run ended" if at_end.why(name, task) else "not at the master"
        return f"done, and the result lost: {stop}" if stop else f"done, and the result {late}"
    if done := [event for event in task.finished if event.node == node and event.t_us >= since_us]:
        life = _life_at(history, node, done[-1].t_us)
        alone = "; it was not connected then" if life is None or life.connected_us is None else ""
        return f"done there, and nothing more was seen of the result{alone}"
    if any(event.node == node and event.t_us >= since_us for event in task.taken):
        return f"at work there: {stop}" if stop else _AT_WORK
    if any(event.node == node and event.t_us >= since_us for event in task.received):
        return f"in its queue: {stop}" if stop else _QUEUED
    for event in hints.get(node, []):
        if isinstance(event, t.MessagesDropped) and event.why == "may not read" and event.t_us >= since_us:
            return f"never reached it: the access rules do not let it read {event.topic}"
    why = _why_unreached(history, node, since_us)
    if why == _UNKNOWN and at_end.why(name, task):
        return "on their way to it when the run ended"
    if why == _UNKNOWN:
        why = _lost_on_the_way(last, since_us, hints.get(node, []), _life_at(history, node, since_us)) or why
    return f"never reached it: {why}"


def _on_the_way(events: Sequence[t.Event]) -> dict[str, list[t.Event]]:
    """Return by node what tells why a message did not get to one that was connected: of its connections those
    on which it, which does elsewhere, did not subscribe."""
    found: dict[str, list[t.Event]] = {}
    subscribing: dict[str, str] = {}
    for event in events:
        match event:
            case t.MessagesDropped(who=node) | t.WireLate(node=node):
                found.setdefault(node, []).append(event)
            case t.NodeSubscribing(node=node, inc=inc):
                subscribing[node] = inc
            case t.NodeConnected(node=node, inc=inc) if subscribing.get(node, inc) != inc:
                found.setdefault(node, []).append(event)
            case t.NodeOutput(node=node, text=text) if _NOT_TAKEN in text:
                found.setdefault(node, []).append(event)
    return found


def _lost_on_the_way(sent: t.TaskSent, since_us: int, hints: Sequence[t.Event], life: Life | None) -> str:
    """Tell what became of a task between the master and a node that was connected; "" if nothing tells."""
    for event in hints:
        match event:
            case t.NodeOutput(text=text) if event.t_us >= since_us and f"{sent.size} bytes" in text:
                return _TOO_LARGE
            case t.NodeConnected(inc=inc) if life is not None and inc == life.inc:
                return f"it did not subscribe to its tasks when it connected, at {seconds(event.t_s)}"
            case t.MessagesDropped(why="queue full") if event.t_us >= since_us:
                return _BROKER_FULL
            case t.WireLate(late_us=late_us) if event.t_us + late_us >= since_us:
                return f"{_SLOW}: what crossed it then took {seconds(late_us / 1e6)}"
    return ""


def _stop_after(history: History, node: str, since_us: int) -> str:
    """Say that the node's program ended after a time, and by which fault; "" if it did not."""
    story = history.story(node)
    stop = next((event for _, event in story.stops if event.t_us >= since_us and event.how != "hang"), None)
    if stop is None:
        return ""
    causes = [fault for fault in story.faults if fault.stops and since_us <= fault.start_us <= stop.t_us]
    cause = causes[-1].event.fault if causes else f"{stop.how}, by no fault"
    return f"it stopped at {seconds(stop.t_s)} ({cause})"


def _why_unreached(history: History, node: str, since_us: int) -> str:
    story = history.story(node)
    silent = [
        fault
        for fault in story.faults
        if fault.silences and fault.start_us <= since_us and (fault.ended_us or history.end_us) >= since_us
    ]
    if silent:
        return f"{silent[-1].kind} kept everything from it"
    if _life_at(history, node, since_us) is None:
        later = next((life for life in story.lives if (life.connected_us or 0) > since_us), None)
        return "it was not connected" + ("" if later else ", and did not come back")
    if history.forgot_after(since_us):
        return "the broker lost its memory"
    if stop := _stop_after(history, node, since_us):
        return stop
    return _UNKNOWN


def _life_at(history: History, node: str, at_us: int) -> Life | None:
    """Return the connection that a node had then, or was making."""
    life = next((life for life in reversed(history.story(node).lives) if life.since_us <= at_us), None)
    return None if life is None or (life.ended_us is not None and life.ended_us <= at_us) else life


def _state(replay: Replay, history: History, node: str) -> str:
    state = replay.nodes[node]
    parts = [f"it is {state.link or 'unknown'}"]
    if state.status:
        parts.append(f"{state.status} to the master")
    on = [
        f"{fault.kind} since {seconds(fault.start_us / 1e6)}"
        for fault in history.story(node).faults
        if fault.event.fault in state.faults and not is_momentary(fault.kind)
    ]
    return ", ".join(parts + ([named(on)] if on else []))
