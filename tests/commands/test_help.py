"""The command line explains itself: each command and option says what it is, one name means one thing."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import typer
from dcompute_sim.commands import app as testbed
from dcompute_sim.commands import app_for

from dcompute.cli import app as production


def commands(command: Any, path: Sequence[str] = ()) -> Iterator[tuple[str, Any]]:
    """All of them, by what is typed."""
    yield " ".join(path), command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


ALL = [found for app in (production, testbed) for found in commands(typer.main.get_command(app)) if found[0]]


def options(name: str) -> list[tuple[str, str]]:
    """Where an option of this name is, and its help."""
    return [
        (where, str(getattr(one, "help", "")))
        for where, command in ALL
        for one in command.params
        if name in one.opts
    ]


def test_every_command_and_every_option_has_help() -> None:
    assert len(ALL) > 30
    silent = [where for where, command in ALL if not command.help]
    silent += [
        f"{where} {one.opts[0]}"
        for where, command in ALL
        for one in command.params
        if not getattr(one, "help", None)
    ]
    assert silent == []


def test_a_broker_is_a_url_everywhere() -> None:
    assert len(options("--broker")) > 12
    assert [where for where, help_text in options("--broker") if "mqtt://" not in help_text] == []


def test_a_port_is_a_serial_port_everywhere() -> None:
    assert len(options("--port")) == 5
    assert [where for where, help_text in options("--port") if "Serial port" not in help_text] == []


def named(app: typer.Typer) -> dict[str, Any]:
    """The commands of an application, by what is typed."""
    made: Any = typer.main.get_group(app)
    return dict(made.commands)


def test_a_command_line_gets_the_command_that_it_names_and_else_all() -> None:
    every = named(testbed)
    assert {"run", "list", "board", "emulator"} <= set(every)
    for word, whole in every.items():
        found = named(app_for(word))
        assert {name: one.help for name, one in found.items()} == {word: whole.help}
    assert list(named(app_for("no-such"))) == list(named(app_for(""))) == list(every)


def test_who_asks_for_one_command_loads_no_other() -> None:
    code = "import sys; from dcompute_sim.commands import app_for; app_for('emulator'); print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True).stdout.split()
    )
    assert "dcompute_sim.micropython.cli" in loaded
    assert not {"dcompute_sim.commands.run_command", "dcompute_sim.deploy.cli", "dcompute_sim.run"} & loaded


def test_no_color_is_no_escape_on_a_terminal_either() -> None:
    """Help is not ours to print: rich keeps bold and dim under NO_COLOR."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "dcompute", "node", "--help"]
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    said = b""
    try:
        while heard := os.read(ours, 65536):
            said += heard
    except OSError:
        pass  # the other end is closed
    os.close(ours)
    assert process.wait() == 0
    assert b"--broker" in said
    assert b"\x1b" not in said
