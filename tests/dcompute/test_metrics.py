"""What Prometheus gets to read, from whom, and what is said when that cannot be."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any
from urllib.request import urlopen

import pytest

from dcompute import FleetExecutor, MasterNodeTransport, Worker
from dcompute.executor.queue_state import QueueState, decode_queue, encode_queue
from dcompute.metrics import address_of, serve_metrics
from dcompute.node_core import Rejected

from ..conftest import PATIENCE_S
from .conftest import Fleet


def read(port: int) -> dict[str, float]:
    """The samples that are served, but for those of the library itself."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
        lines = answer.read().decode().splitlines()
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in lines) if name[:1] != "#"
    }


def test_an_executor_a_node_and_a_master_are_counted(
    mosquitto: Any, new_fleet: Callable[[int], Fleet], eventually: Callable[..., Any]
) -> None:
    fleet = new_fleet(mosquitto.port)
    node, master = fleet.node("n"), fleet.master()
    Worker(node, lambda task: task["args"][0] / 1)
    where = {"broker_port": mosquitto.port, "namespace": fleet.namespace, "name": "me"}
    with FleetExecutor(**where) as executor, serve_metrics(0, executor, node, master) as port:
        list(executor.map("f", range(5)))
        assert executor.submit("f", "no number").exception(PATIENCE_S) is not None
        eventually(lambda: read(port)['dcompute_executor_done_total{executor="me"}'] == 6)
        found = read(port)
        assert found['dcompute_executor_failed_total{executor="me"}'] == 1
        assert found['dcompute_executor_nodes{executor="me"}'] == 1
        assert found[f'dcompute_node_tasks_received_total{{node="{node.node_id}"}}'] == 6
        assert found[f'dcompute_node_tasks_waiting{{node="{node.node_id}"}}'] == 0
        assert found["dcompute_master_connections_total"] == 1
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.1", port), 5):
        pass


def test_where_they_are_served() -> None:
    assert address_of("9400") == ("127.0.0.1", 9400)
    assert address_of("0.0.0.0:9400") == ("0.0.0.0", 9400)
    assert address_of("[::1]:0") == ("::1", 0)
    for wrong in ("", "host", "host:", ":9400", "host:70000", "-1"):
        with pytest.raises(ValueError, match=r"neither a port nor HOST:PORT"):
            address_of(wrong)


@pytest.mark.parametrize("version", [None, "0.9.0"])
def test_without_the_library_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    if version is None:
        monkeypatch.setitem(sys.modules, "prometheus_client", None)
    else:
        monkeypatch.setattr("importlib.metadata.version", lambda _name: version)
    said = "metrics need prometheus_client" + (f" 0.19 or newer, not {version}" if version else "")
    with pytest.raises(ValueError, match=rf"{said}: pip install .*metrics"), serve_metrics(0):
        pass


def test_what_an_executor_says_of_its_queue_is_read_and_checked() -> None:
    state = QueueState("me", 10, 5, 1, 4, 1, 2, {"5": 4, "9": 1})
    assert decode_queue(encode_queue(state)) == state
    for wrong in (
        b"{}",
        b'{"asker": "a b"}',
        b'{"asker": "a", "done": -1}',
        b'{"asker": "a", "by_priority": 3}',
        b'{"asker": "a", "by_priority": {"up": 3}}',
        b'{"asker": "a", "by_priority": {"5": "many"}}',
    ):
        with pytest.raises(Rejected):
            decode_queue(wrong)
    assert decode_queue(b'{"asker": "a", "of a later version": []}') == QueueState("a")


def test_metrics_need_no_connection() -> None:
    with serve_metrics(0, MasterNodeTransport("127.0.0.1", 9)) as port:
        assert read(port)["dcompute_master_connections_total"] == 0
