"""NodeCore and its task queue: what every node does, bytes in and bytes out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcompute.node_core import NodeCore, TaskQueue

Message = tuple[str, bytes, bool]


def connected(**options: Any) -> NodeCore:
    core = NodeCore("n1", "test", "boot", **options)
    core.will()
    core.greeting()
    return core


def give(core: NodeCore, **task: Any) -> list[Message]:
    return core.receive("n1", json.dumps(task).encode())


def result_of(core: NodeCore, result: Any, task_id: str, timestamp: float) -> Any:
    message = core.result_message(result, task_id, timestamp)
    assert message is not None
    return json.loads(message[1])


def drain(core: NodeCore) -> list[Any]:
    tasks = []
    while (task := core.take()) is not None:
        tasks.append(task["id"])
    return tasks


def said(messages: list[Message]) -> list[Any]:
    return [(topic, json.loads(payload)["status"], retain) for topic, payload, retain in messages]


# --- the queue ------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 10) | st.none()), st.integers(0, 20))
def test_the_queue_is_a_bounded_stable_sort(actions: list[int | None], limit: int) -> None:
    queue, model = TaskQueue(limit), list[dict[str, Any]]()
    for number, priority in enumerate(actions):
        if priority is None:
            model.sort(key=lambda task: -task["priority"])
            assert queue.take_next() == (model.pop(0) if model else None)
        else:
            task = {"priority": priority, "id": number}
            assert queue.put(task, b"") == (len(model) < limit)
            model += [task] if len(model) < limit else []
        assert queue.length == len(model)


def test_ten_is_first_and_equals_are_first_in_first_out() -> None:
    core = connected()
    for number, priority in enumerate([5, 10, 1, 10, 5]):
        give(core, id=f"t{number}", priority=priority)
    assert drain(core) == ["t1", "t3", "t0", "t4", "t2"]
    assert core.take() is None


def test_a_task_without_priority_is_in_the_middle() -> None:
    core = connected()
    give(core, id="none")
    give(core, id="six", priority=6)
    give(core, id="four", priority=4)
    assert drain(core) == ["six", "none", "four"]


def test_a_full_queue_drops_the_newest_and_says_so() -> None:
    events: list[tuple[str, dict[str, Any]]] = []
    core = connected(queue_limit=2)
    core.on_event = lambda name, fields: events.append((name, fields))
    for number in range(3):
        give(core, id=f"t{number}", priority=10)
    assert core.dropped == 1
    assert ("task_dropped", {"task": "t2", "reason": "queue full"}) in events
    assert drain(core) == ["t0", "t1"]
    give(core, id="t2", priority=10)  # what was dropped may be sent again: it is no repeat
    assert drain(core) == ["t2"]


def test_a_redelivered_task_is_done_once_but_another_attempt_is_done() -> None:
    core = connected()
    give(core, id="t", attempt=1)
    give(core, id="t", attempt=1)
    assert drain(core) == ["t"]
    give(core, id="t", attempt=1)  # even after it was taken
    assert drain(core) == []
    assert core.duplicates == 2
    give(core, id="t", attempt=2)
    assert drain(core) == ["t"]


def test_a_result_names_the_attempt_that_was_done() -> None:
    core = connected()
    give(core, id="t", attempt=3)
    core.take()
    assert result_of(core, 1, "t", 0.0)["attempt"] == 3
    assert "attempt" not in result_of(core, 1, "t", 0.0)


def test_tasks_of_older_masters_get_an_id() -> None:
    core = connected()
    give(core, priority=3)
    give(core, priority=3)
    first, second = core.take(), core.take()
    assert first is not None
    assert second is not None
    assert first["id"] != second["id"]


# --- messages -------------------------------------------------------------------------------------------


def test_every_connection_is_an_incarnation_of_its_own_with_its_own_will() -> None:
    core = NodeCore("n1", "test", "boot", {"ram": 4}, "ns")
    topic, payload, retain = core.will()
    assert (topic, retain) == ("ns/n1/status", True)
    assert json.loads(payload) == {"node_id": "n1", "status": "dead", "inc": core.inc}
    first = core.inc
    core.will()
    assert core.inc != first
    other = NodeCore("n1", "test", "boot2")
    other.will()
    other.will()
    assert other.inc != core.inc


def test_the_greeting_is_the_announcement_then_the_present_status() -> None:
    core = NodeCore("n1", "test", "boot", {"ram": 4})
    core.will()
    core.set_status("busy")
    (where, announcement, kept), status = core.greeting()
    assert (where, kept) == ("initialisation", False)
    assert json.loads(announcement) == {
        "node_id": "n1",
        "device_type": "test",
        "status": "connected",
        "inc": core.inc,
        "protocol": 1,
        "capabilities": {"ram": 4},
    }
    assert said([status]) == [("n1/status", "busy", True)]


def test_the_init_command_is_answered_and_not_queued() -> None:
    core = connected()
    ask = {"task_info": {"command": "init"}}
    assert said(give(core, **ask)) == [("n1/status", "ready", True)]
    assert core.waiting() == 0
    core.set_status("busy")
    assert said(give(core, **ask)) == [("n1/status", "busy", True)], "it must not be given more by mistake"
    assert give(core, task_info={"command": "other"}) == []
    assert core.waiting() == 1
    core.set_status("offline")
    assert said(give(core, **ask)) == [("n1/status", "offline", True)], "who leaves has said its last word"


@pytest.mark.parametrize("lie", ["dead", "offline"])
def test_a_living_node_corrects_a_death_notice(lie: str) -> None:
    core = connected()
    notice = json.dumps({"node_id": "n1", "status": lie, "inc": "boot.0"}).encode()
    assert said(core.receive("n1/status", notice)) == [("n1/status", "ready", True)]
    assert core.repairs == 1


def test_a_death_notice_is_true_while_not_connected() -> None:
    core = NodeCore("n1", "test", "boot")
    _, will, _ = core.will()
    assert core.receive("n1/status", will) == [], "the retained one, at subscription"
    core.greeting()
    assert core.receive("n1/status", will) != []
    core.lost()
    assert core.receive("n1/status", will) == []


@pytest.mark.parametrize("status", ["ready", "busy", "anything", None, 5])
def test_its_own_other_statuses_need_no_correction(status: Any) -> None:
    core = connected()
    assert core.receive("n1/status", json.dumps({"node_id": "n1", "status": status}).encode()) == []


def test_an_offline_node_agrees_with_its_own_offline() -> None:
    core = connected()
    _, offline, _ = core.set_status("offline")
    assert core.receive("n1/status", offline) == []


@given(st.sampled_from(["n1", "n1/status", "other", ""]), st.binary())
def test_hostile_bytes_never_raise_and_never_become_work(topic: str, payload: bytes) -> None:
    core = connected()
    answers = core.receive(topic, payload)
    task = core.take()
    assert task is None or isinstance(json.loads(payload), dict)
    assert answers == [] or topic == "n1"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"\xff",
        b'{"priority": "7"}',
        b'{"priority": 11}',
        b'{"id": []}',
        b'{"x": NaN}',
        b"[" * 99,
    ],
)
def test_rejections_are_counted_with_their_reason(payload: bytes) -> None:
    events: list[tuple[str, dict[str, Any]]] = []
    core = connected()
    core.on_event = lambda name, fields: events.append((name, fields))
    assert core.receive("n1", payload) == []
    assert (core.rejected, core.waiting()) == (1, 0)
    ((name, fields),) = events
    assert name == "message_rejected"
    assert fields["reason"]


def test_a_payload_limit_holds_before_parsing() -> None:
    core = connected(payload_limit=100)
    give(core, id="big", data="x" * 100)
    assert (core.rejected, core.waiting()) == (1, 0)


@pytest.mark.parametrize("bad", ["", "a/b", "a+", "#", "ä", "x" * 65, "results", "initialisation", None, 7])
def test_a_bad_node_id_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="node id"):
        NodeCore(bad, "test", "boot")


@pytest.mark.parametrize("bad", ["", "x" * 65, None, 7])
def test_a_bad_status_is_refused_and_the_old_one_stays(bad: Any) -> None:
    core = connected()
    with pytest.raises(ValueError, match="status must be"):
        core.set_status(bad)
    assert core.status == "ready"


def test_any_json_is_a_result_and_nothing_else() -> None:
    core = connected()
    for value in (None, True, 0, 1.5, "Ünï ✓", [1, [2]], {"a": None}):
        assert result_of(core, value, "t", 3.5) == {
            "node_id": "n1",
            "result": value,
            "timestamp": 3.5,
            "inc": core.inc,
            "task_id": "t",
        }
    for bad in ({1, 2}, b"x", float("nan"), {1: 2}, "\ud800"):
        with pytest.raises(ValueError, match=r".+"):
            core.result_message(bad, "t", 0.0)


# --- a heap that is full --------------------------------------------------------------------------------


class Full(dict[str, Any]):
    """Finds no memory for one thing more."""

    def __setitem__(self, key: str, value: Any) -> None:
        raise MemoryError


def test_a_task_for_which_there_was_no_memory_is_not_half_in_the_queue() -> None:
    core = connected()
    core.queue.ids = Full()
    with pytest.raises(MemoryError):
        give(core, id="a")
    core.queue.ids = {}
    give(core, id="b")
    assert drain(core) == ["b"]
    give(core, id="a")  # its asker lost patience
    assert drain(core) == ["a"]


def test_an_asker_is_told_that_there_was_no_memory_for_its_task() -> None:
    """The answer to the same, sent again, was none, and a board lost each of its connections over it."""
    core = connected(ring_size=(4, 2, 1000))
    asked = {"id": "a", "from": "m", "n": 1, "open": [1], "boot": "boot", "attempt": 1}
    ids = core.queue.ids
    core.queue.ids = Full()
    with pytest.raises(MemoryError):
        give(core, **asked)
    core.queue.ids = ids
    ((topic, payload, _),) = give(core, **asked)
    answer = json.loads(payload)
    assert (topic, answer["answer"], answer["ran"]) == ("results/m", "full", "no")
    assert drain(core) == []
    give(core, **(asked | {"n": 2, "open": [2], "id": "b"}))
    assert drain(core) == ["b"]


def test_a_result_of_which_nobody_could_be_told_is_kept() -> None:
    core = connected(ring_size=(4, 2, 1000))
    asked = {"id": "a", "from": "m", "n": 1, "open": [1], "boot": "boot", "attempt": 1}
    give(core, **asked)
    assert drain(core) == ["a"]

    def no_memory(name: str, fields: dict[str, Any]) -> None:
        raise MemoryError

    core.on_event = no_memory
    with pytest.raises(MemoryError):
        core.result_message(1, "a", 0.0)
    core.on_event = None
    ((_, payload, _),) = give(core, **asked)
    assert json.loads(payload)["result"] == 1
