"""The wire protocol: any bytes on any topic are a message or a Rejected, and nothing of another node's."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from itertools import chain
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dcompute.node_names import check_namespace
from dcompute.node_wire import MAX_DEPTH, MAX_PAYLOAD_BYTES, decode_task, dumps
from dcompute.node_wire import decode as decode_object
from dcompute.protocol import (
    Announcement,
    Rejected,
    ResultMessage,
    StatusCleared,
    StatusMessage,
    Topics,
    decode,
    encode_dead,
    encode_task,
    memory_of,
    task_fields,
)

IDS = st.from_regex(r"[A-Za-z0-9_.:-]{1,64}", fullmatch=True).filter(
    lambda name: name not in ("initialisation", "results")
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
FIELDS = (
    "node_id",
    "status",
    "inc",
    "device_type",
    "capabilities",
    "result",
    "timestamp",
    "task_id",
    "attempt",
    "priority",
    "id",
    "task_info",
)
ALMOST = st.dictionaries(st.sampled_from(FIELDS), JSON | st.sampled_from(["n1", "dead", "ready", 5]))
PAYLOADS = st.binary() | ALMOST.map(lambda body: json.dumps(body).encode())
TOPICS = (
    st.sampled_from(
        ["initialisation", "results", "n1/status", "n1", "/status", "status", "+/status", "a/b/status"]
    )
    | st.text()
)


@given(TOPICS, PAYLOADS, st.sampled_from(["", "ns", "a/b"]))
@example("n1/status", b"[" * 100_000, "")
@example("n1/status", b'{"a":' * 100_000, "")
@example("results", b'{"node_id":"n1","result":1e999}', "")
@example("n1/status", b'{"node_id":"n1","status":"\\ud800"}', "")
@example("results", b'{"node_id":"n1","result":' + b"9" * 5000 + b"}", "")
@example("n1/status", b"\xef\xbb\xbf{}", "")
@example("n1/status", b'"node_id"', "")
@example("n1/status", b'{"node_id":"n1","status":"ready"', "")
def test_any_bytes_on_any_topic_are_a_message_of_that_node_or_rejected(
    topic: str, payload: bytes, namespace: str
) -> None:
    topics = Topics(namespace)
    for full in (topic, topics.prefix + topic):
        try:
            message = decode(topics, full, payload)
        except Rejected:
            continue
        if isinstance(message, StatusMessage | StatusCleared):
            assert full == topics.status_of(message.node_id)
        json.dumps(getattr(message, "result", None), allow_nan=False).encode()  # can be told to anybody


@given(PAYLOADS)
def test_a_task_is_valid_or_rejected(payload: bytes) -> None:
    try:
        task = decode_task(payload)
    except Rejected:
        return
    assert 1 <= task["priority"] <= 10
    assert type(task["priority"]) is int


@given(st.dictionaries(st.text(), JSON), st.integers(1, 10))
def test_a_task_arrives_as_it_was_sent(data: dict[str, Any], priority: int) -> None:
    for reserved in ("priority", "id", "attempt"):
        data.pop(reserved, None)
    before = json.dumps(data)
    payload = encode_task(task_fields(data, priority, "t1"), 2)
    assert decode_task(payload) == {**data, "priority": priority, "id": "t1", "attempt": 2}
    assert json.dumps(data) == before


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), {1: 2}, {1, 2}, b"x", object(), [{"a": (1, {2})}]]
)
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"JSON|number"):
        encode_task({"id": "t", "priority": 1, "x": value}, 1)


def test_a_task_that_refers_to_itself_is_refused() -> None:
    task: dict[str, Any] = {"id": "t", "priority": 1}
    task["self"] = task
    with pytest.raises(ValueError, match="nested deeper"):
        encode_task(task, 1)


@given(JSON)
def test_the_quick_encoder_and_decoder_are_those_of_json(value: Any) -> None:
    """Both lean on parts of json that it does not document."""
    text = json.dumps(value, ensure_ascii=False)
    assert dumps(value) == text
    for spaced in (text, f" {text}\n"):
        assert decode_object(b'{"a":%b}' % spaced.encode()) == {"a": json.loads(text)}
    with pytest.raises(Rejected, match="not JSON"):
        decode_object(b'{"a":%b}}' % text.encode())


def test_depth_is_the_same_limit_in_and_out() -> None:
    fits: Any = 1
    for _ in range(MAX_DEPTH - 1):
        fits = [fits]
    payload = encode_task({"id": "t", "priority": 1, "x": fits}, 1)
    assert decode_task(payload)["x"] == fits
    with pytest.raises(ValueError, match="nested"):
        encode_task({"id": "t", "priority": 1, "x": [fits]}, 1)
    with pytest.raises(Rejected, match="nested"):
        decode_object(payload.replace(b"[1]", b"[[1]]"))


def test_brackets_inside_text_are_no_nesting() -> None:
    text = "[{" * 100 + '"\\' + "]"
    assert decode_object(encode_task({"id": "t", "priority": 1, "x": text}, 1))["x"] == text


def test_size_is_the_same_limit_in_and_out() -> None:
    overhead = len(encode_task({"id": "t", "priority": 1, "x": ""}, 1))
    fits = "x" * (MAX_PAYLOAD_BYTES - overhead)
    payload = encode_task({"id": "t", "priority": 1, "x": fits}, 1)
    assert len(payload) == MAX_PAYLOAD_BYTES
    decode_task(payload)
    with pytest.raises(ValueError, match="over the limit"):
        encode_task({"id": "t", "priority": 1, "x": fits + "x"}, 1)
    with pytest.raises(Rejected, match="over the limit"):
        decode_task(payload + b" ")


@pytest.mark.parametrize(
    ("data", "priority", "complaint"),
    [
        ({}, 0, "from 1 to 10, not 0"),
        ({}, 11, "from 1 to 10, not 11"),
        ({}, True, "integer from 1 to 10, not True"),
        ({}, "5", "integer"),
        ({}, 5.0, "integer"),
        ({"priority": 11}, 5, "not 11"),
        ({"priority": "7"}, 5, "'7'"),
        ({"priority": None}, 5, "None"),
        ({"id": ""}, 5, "task id"),
        ({"id": "x" * 129}, 5, "task id"),
        ({"id": True}, 5, "task id"),
        ([], 5, "a task is a dict, not list"),
        ("x", 5, "not str"),
    ],
)
def test_a_bad_task_is_refused_with_what_is_wrong(data: Any, priority: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        task_fields(data, priority, "new")


def test_the_priority_inside_a_task_wins() -> None:
    assert task_fields({"priority": 9}, 2, "new")["priority"] == 9
    assert task_fields({}, 2, "new")["priority"] == 2
    assert task_fields({"id": 17}, 2, "new")["id"] == "17"


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def test_the_bare_fields_of_older_nodes_are_enough() -> None:
    topics = Topics()
    assert decode(topics, "n/status", body(node_id="n", status="ready")) == StatusMessage("n", "ready")
    assert decode(topics, "initialisation", body(node_id="n", device_type="esp32", status="connected")) == (
        Announcement("n", "connected", device_type="esp32")
    )
    assert decode(topics, "results", body(node_id="n", result=None, timestamp=1.5)) == ResultMessage(
        "n", None, 1.5
    )
    assert decode(topics, "n/status", b"") == StatusCleared("n")


def test_whose_result_it_is() -> None:
    def task_of(**fields: Any) -> str | None:
        message = decode(Topics(), "results", body(node_id="n", **fields))
        assert isinstance(message, ResultMessage)
        return message.task_id

    assert task_of(result={"task_id": "inner"}) == "inner"
    assert task_of(result={"task_id": "inner"}, task_id="outer") == "outer"
    assert task_of(result={"task_id": 7}) == "7"
    assert task_of(result=[1]) is None
    assert task_of(result={"task_id": [1]}) is None, "a field of the result that means something else"
    with pytest.raises(Rejected, match="task id"):
        task_of(result=1, task_id=[1])


@pytest.mark.parametrize("attempt", [True, 1.0, "1", None, [1]])
def test_what_is_no_number_of_an_attempt_is_the_first(attempt: Any) -> None:
    message = decode(Topics(), "results", body(node_id="n", result=1, attempt=attempt))
    assert isinstance(message, ResultMessage)
    assert repr(message.attempt) == "1"


@pytest.mark.parametrize(
    ("topic", "fields"),
    [
        ("a/status", {"node_id": "b", "status": "dead"}),
        ("a/status", {"status": "dead"}),
        ("a/status", {"node_id": "a", "status": ""}),
        ("a/status", {"node_id": "a", "status": "x" * 65}),
        ("a/status", {"node_id": "a", "status": 1}),
        ("a/status", {"node_id": "a", "status": "ready", "inc": 5}),
        ("a/status", {"node_id": "a", "status": "ready", "inc": "x" * 129}),
        ("a/status", {"node_id": "a", "status": "ready", "capabilities": []}),
        ("a/status", {"node_id": "a", "status": "ready", "device_type": "x" * 65}),
        ("results/status", {"node_id": "results", "status": "ready"}),
        ("initialisation", {"node_id": "a/b"}),
        ("initialisation", {"node_id": "#"}),
        ("initialisation", {"node_id": ""}),
        ("results", {"node_id": "a"}),
        ("results", {"node_id": "a", "result": 1, "timestamp": "now"}),
        ("results", {"node_id": "a", "result": 1, "timestamp": True}),
        ("a", {"node_id": "a", "status": "ready"}),
    ],
)
def test_rejected(topic: str, fields: dict[str, Any]) -> None:
    with pytest.raises(Rejected, match=r".+"):
        decode(Topics(), topic, body(**fields))


@given(IDS)
def test_a_declared_death_reads_as_the_nodes_own_will(node_id: str) -> None:
    topics = Topics("x/y")
    assert decode(topics, topics.status_of(node_id), encode_dead(node_id, "b.1")) == StatusMessage(
        node_id, "dead", "b.1"
    )


@pytest.mark.parametrize("namespace", ["a//b", "/a", "a/", "+", "a/#", "results", "a b", "ä"])
def test_a_bad_namespace_is_refused(namespace: str) -> None:
    with pytest.raises(ValueError, match="node id"):
        check_namespace(namespace)


@pytest.mark.parametrize(
    "item", [{}, [], {"a": {}}, [[]], 1.5, 10**9, "ab", "text of some length", {"a": 1, "b": "x"}, None]
)
def test_what_a_message_takes_in_memory_is_known_before_it_is_read(item: Any) -> None:
    payload = json.dumps({"node_id": "n", "result": [item] * 2_000}).encode()

    def size(value: Any) -> int:
        inner: Iterable[Any] = ()
        if isinstance(value, dict):
            inner = chain(value, value.values())
        elif isinstance(value, list):
            inner = value
        return sys.getsizeof(value) + sum(map(size, inner))

    taken = size(decode(Topics(""), "results", payload).result)  # type: ignore[union-attr]
    assert taken / 2.2 <= memory_of(payload) <= 8 * taken
