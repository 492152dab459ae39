"""Users' code may raise anything, return anything, block, fork and end: a node is never a zombie."""

from __future__ import annotations

import ctypes
import enum
import os
import threading
import time
from collections import OrderedDict, UserDict
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcompute import Worker
from dcompute._plain import plain
from dcompute.master_transport import MasterNodeTransport
from dcompute.node_transport import ComputeNodeTransport
from dcompute.node_wire import MAX_DEPTH, check_json, encode

from ..conftest import PATIENCE_S
from .conftest import Eventually, Fleet, Served


class Anything(BaseException):
    """Of no family that a library would know."""


class Hostile(dict[str, Any]):
    """A dict whose methods are the user's."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(a=1)
        self._error = error

    def items(self) -> NoReturn:
        raise self._error


class Endless(dict[str, Any]):
    def items(self) -> Iterator[tuple[str, int]]:  # type: ignore[override]
        number = 0
        while True:
            number += 1
            yield str(number), number


class Colour(enum.IntEnum):
    RED = 3


class Lying(str):
    def __len__(self) -> int:
        return 0


def results(master: Any) -> dict[str, Any]:
    return {r["task_id"]: r["result"] for records in master.get_results().values() for r in records}


Pair = tuple[MasterNodeTransport, ComputeNodeTransport]


@pytest.fixture
def pair(mosquitto: Served, new_fleet: Callable[[int], Fleet], eventually: Eventually) -> Pair:
    fleet = new_fleet(mosquitto.port)
    master, node = fleet.master(), fleet.node()
    eventually(lambda: master.get_nodes_by_status("ready"))
    return master, node


# --- values ---------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_json_is_copied_as_it_is(value: Any) -> None:
    copied = plain(value)
    assert copied == value
    assert type(copied) is type(value)
    if isinstance(value, (list, dict)):
        assert copied is not value


def test_what_comes_out_has_no_methods_of_the_users() -> None:
    copied = plain(OrderedDict(a=Colour.RED, b=(True, Lying("long"), 1.5)))
    assert copied == {"a": 3, "b": [True, "long", 1.5]}
    assert [type(copied), type(copied["a"]), type(copied["b"][1])] == [dict, int, str]
    check_json(copied)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Endless(), "over the limit of 262,144 bytes"),
        ([0] * 300_000, "over the limit"),
        (Lying("x" * 300_000), "over the limit"),
        (1 << 3_000_000, "over the limit"),
        ({1: 2}, "JSON keys are strings, not int"),
        (UserDict(a=1), "UserDict is not a JSON value"),
        (b"x", "bytes is not a JSON value"),
    ],
    ids=["endless", "long list", "long text", "long number", "key", "mapping", "bytes"],
)
def test_what_no_message_can_carry_is_refused_before_it_is_copied(value: Any, said: str) -> None:
    began_s = time.thread_time()
    with pytest.raises(ValueError, match=said):
        plain(value)
    assert time.thread_time() - began_s < 2, "bounded first"


def test_nesting_is_bounded() -> None:
    value: list[Any] = []
    for _ in range(MAX_DEPTH - 1):
        value = [value]
    assert plain(value) == value
    with pytest.raises(ValueError, match="nested deeper"):
        plain([value])
    with pytest.raises(ValueError, match="nested deeper"):
        encode({"result": value})


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("odd"), Anything(), SystemExit(3), KeyboardInterrupt()]
)
def test_a_result_that_fails_in_any_way_is_answered_and_the_next_task_done(
    pair: Pair, eventually: Eventually, error: BaseException
) -> None:
    master, node = pair
    Worker(node, lambda task: Hostile(error) if task["bad"] else "fine")
    bad, good = (master.send_task(node.node_id, {"bad": bad}) for bad in (True, False))
    found = eventually(lambda: len(r := results(master)) == 2 and r)
    assert "the result cannot be sent: " in found[bad]["error"]
    assert type(error).__name__ in found[bad]["error"]
    assert found[good] == "fine"
    eventually(lambda: master.get_nodes_by_status("ready"))


def test_a_description_of_a_failure_is_bounded(pair: Pair, eventually: Eventually) -> None:
    master, node = pair

    def handler(task: dict[str, Any]) -> NoReturn:
        raise ValueError("x" * 1_000_000)

    Worker(node, handler)
    task = master.send_task(node.node_id, {})
    found = eventually(lambda: results(master).get(task))
    assert found["error"].startswith("ValueError: xxx")
    assert len(found["error"]) + len(found["traceback"]) < 30_000


def test_a_value_whose_methods_block_holds_up_nobody_else(pair: Pair, eventually: Eventually) -> None:
    master, node = pair
    go, inside = threading.Event(), threading.Event()

    class Slow(dict[str, Any]):
        def items(self) -> Any:
            inside.set()
            go.wait(2 * PATIENCE_S)
            return super().items()

    sender = threading.Thread(target=lambda: node.send_result(Slow(a=1), "slow"))
    sender.start()
    inside.wait(PATIENCE_S)
    task = master.send_task(node.node_id, {})
    assert eventually(node.get_task)["id"] == task
    node.send_result("quick", task)
    eventually(lambda: results(master).get(task) == "quick")
    go.set()
    sender.join(PATIENCE_S)
    eventually(lambda: results(master).get("slow") == {"a": 1})


def test_a_task_is_copied_before_the_master_is_locked(pair: Pair, eventually: Eventually) -> None:
    master, node = pair
    go, inside = threading.Event(), threading.Event()

    class Slow(dict[str, Any]):
        def items(self) -> Any:
            inside.set()
            go.wait(2 * PATIENCE_S)
            return super().items()

    sender = threading.Thread(target=lambda: master.send_task(node.node_id, {"deep": Slow(a=1)}))
    sender.start()
    inside.wait(PATIENCE_S)
    assert master.get_nodes_by_status("ready")
    go.set()
    sender.join(PATIENCE_S)
    assert eventually(node.get_task)["deep"] == {"a": 1}


def test_results_are_copied_without_the_lock(pair: Pair, eventually: Eventually) -> None:
    master, node = pair
    node.send_result({"list": [1]}, "t")
    eventually(lambda: results(master))
    master.get_results()[node.node_id][0]["result"]["list"].append(2)
    info = master.get_node_info(node.node_id)
    assert info is not None
    info["capabilities"]["keepalive"] = "changed"
    master.get_node_info()[0]["capabilities"].clear()
    assert results(master)["t"] == {"list": [1]}
    info = master.get_node_info(node.node_id)
    assert info is not None
    assert info["capabilities"]["keepalive"] == 60


# --- callbacks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [Anything(), SystemExit(3), GeneratorExit(), MemoryError()])
def test_callbacks_and_observers_may_raise_anything(
    fleet: Fleet, eventually: Eventually, error: BaseException
) -> None:
    def raises(*_: object) -> NoReturn:
        raise error

    master = fleet.master(observer=raises)
    told: list[str] = []

    def deaths(ids: list[str]) -> NoReturn:
        told.extend(ids)
        raise error

    master.set_dead_nodes_callback(deaths)
    node = fleet.node(observer=raises)
    node.set_task_callback(raises, inline=True)
    eventually(lambda: master.get_nodes_by_status("ready"))
    for number in range(2):
        assert master.send_task(node.node_id, {"id": str(number)})
        assert eventually(node.get_task)["id"] == str(number)
    for number in range(2):
        dying = fleet.node(f"dying-{number}")
        eventually(lambda: len(master.get_nodes_by_status("ready")) == 2)
        dying.kill()
        eventually(lambda dying=dying: dying.node_id in told)


def test_a_blocking_callback_stops_no_worker(pair: Pair, fleet: Fleet, eventually: Eventually) -> None:
    master, node = pair
    go, blocked = threading.Event(), threading.Event()

    def blocks(_ids: list[str]) -> None:
        blocked.set()
        go.wait(2 * PATIENCE_S)

    other_master, dying = fleet.master(), fleet.node("dying")
    other_master.set_dead_nodes_callback(blocks)
    eventually(lambda: other_master.get_nodes_by_status("ready"))
    dying.kill()
    assert blocked.wait(PATIENCE_S)
    try:
        Worker(node, lambda task: task["n"])
        ids = [master.send_task(node.node_id, {"n": n}) for n in range(3)]
        eventually(lambda: results(master) == dict(zip(ids, range(3), strict=True)))
    finally:
        go.set()


# --- handlers -------------------------------------------------------------------------------------------


def test_a_handler_that_forks_leaves_the_node_alone(pair: Pair, eventually: Eventually) -> None:
    master, node = pair

    def handler(task: dict[str, Any]) -> int:
        child = os.fork()
        if child == 0:
            os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    Worker(node, handler)
    ids = [master.send_task(node.node_id, {}) for _ in range(5)]
    eventually(lambda: results(master) == dict.fromkeys(ids, 7))
    assert node.counters()["connections"] == 1


def test_a_handler_that_holds_the_gil_is_a_dead_node_for_that_time_and_no_zombie(
    mosquitto: Served, new_fleet: Callable[[int], Fleet], eventually: Eventually
) -> None:
    """Threads cannot help there; the node has to find its feet afterwards."""
    fleet = new_fleet(mosquitto.port)
    master, node = fleet.master(), fleet.node(keepalive=1)
    eventually(lambda: master.get_nodes_by_status("ready"))
    hold: Callable[[int], int] = ctypes.PyDLL(None).usleep

    def handler(task: dict[str, Any]) -> str:
        for _ in range(4):
            hold(900_000)
        return "held"

    Worker(node, handler)
    ids = [master.send_task(node.node_id, {"n": n}) for n in range(2)]
    eventually(lambda: results(master) == dict.fromkeys(ids, "held"))
    eventually(lambda: master.get_nodes_by_status("ready"))
