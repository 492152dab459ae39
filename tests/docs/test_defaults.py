"""Defaults and figures that users meet in documents and descriptions are those of the code, and one each."""

from __future__ import annotations

import inspect
import re
from typing import Any

from dcompute_sim.commands import app
from dcompute_sim.micropython.board import DEFAULT_HEAP_BYTES, Board
from dcompute_sim.scenario.fleet import Group, Master
from typer.main import get_command

from dcompute import ComputeNodeTransport
from dcompute._mqtt import link, paho_session
from dcompute.parts import Registry

from .conftest import ROOT

PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


def default(function: Any, parameter: str) -> Any:
    return inspect.signature(function).parameters[parameter].default


def board_setting(name: str) -> int:
    """The default of a setting of config.py, as the firmware has it and as the example tells it."""
    checked = re.search(
        rf'_number\(config, "{name}", \d+, \d+, (\d+)\)', (ROOT / "firmware/settings.py").read_text()
    )
    told = re.search(rf"^{name} = (\d+)", (ROOT / "firmware/config_example.py").read_text(), re.M)
    assert checked is not None
    assert told is not None
    assert checked[1] == told[1]
    return int(checked[1])


def board_constant(file: str, name: str) -> int:
    found = re.search(rf"^{name} = const\((\d+)\)", (ROOT / "firmware" / file).read_text(), re.M)
    assert found is not None
    return int(found[1])


def described(model: Any, field: str) -> str:
    return str(model.model_fields[field].description)


def figures(line: str) -> tuple[list[float], list[float]]:
    """The numbers of a line of the table under "Links": on CPython, on a board."""
    found = re.search(rf"^\| {re.escape(line)} \| (.*?) \| (.*?) \|$", PROTOCOL, re.M)
    assert found is not None, line
    cpython, board = (
        [float(number.replace(",", "")) for number in re.findall(r"[\d,.]*\d", cell)]
        for cell in found.groups()
    )
    return cpython, board


def test_the_heap_of_a_board_is_one() -> None:
    kib = DEFAULT_HEAP_BYTES // 1024
    assert default(Board, "heap_bytes") == DEFAULT_HEAP_BYTES
    assert f"{kib}KiB when left out" in described(Group, "heap")
    commands: Any = get_command(app)
    emulator, board = commands.commands["emulator"].commands["run"], commands.commands["board"]
    for command in (emulator, board):
        (option,) = (option for option in command.params if option.name == "heap_kib")
        assert option.default == kib


def test_how_many_tasks_may_wait() -> None:
    cpython, board = default(ComputeNodeTransport, "queue_limit"), board_setting("QUEUE_LIMIT")
    assert f"{cpython:,} (python) or {board} (firmware)" in described(Group, "queue_limit")
    assert figures("tasks that may wait at a node") == ([cpython], [board])


def test_how_long_a_master_believes_a_retained_status() -> None:
    grace_s = default(Registry, "grace_s")
    assert f"1.5 times its keepalive and {grace_s:.0f}s" in described(Master, "liveness")
    assert f"(1.5 x the keepalive it announced + {grace_s:.0f} s" in PROTOCOL


def test_the_figures_of_links() -> None:
    first_s, last_s = (
        board_constant("reconnect.py", f"_{name}_RETRY_MS") / 1000 for name in ("FIRST", "LAST")
    )
    assert figures("before the next attempt to connect") == (
        [link.MIN_BACKOFF_S / 2, link.MAX_BACKOFF_S],
        [first_s / 2, 1.5 * last_s],
    )
    assert figures("this starts over after a connection that lasted") == (
        [link.STABLE_S],
        [board_constant("reconnect.py", "_LASTING_MS") / 1000],
    )
    assert figures("an attempt to connect is given up after")[0] == [link.CONNECT_TIMEOUT_S]
    assert figures("messages in flight") == ([paho_session.IN_FLIGHT], [1])
    assert figures("results that may wait for a connection") == (
        [default(ComputeNodeTransport, "hold_limit")],
        [board_setting("HOLD_LIMIT")],
    )
    assert f"A PUBACK that does not come within {link.ACK_TIMEOUT_S:.0f} s" in PROTOCOL
