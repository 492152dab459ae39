"""The testbed's part of the `dcompute` command."""

from __future__ import annotations

import typer

from sim.boards.commands import app as board
from sim.brokers.commands import app as broker
from sim.commands.compare import compare
from sim.commands.report import report
from sim.commands.run import run
from sim.commands.scenario import explain, new, schema
from sim.deploy.commands import app as deploy
from sim.micropython.commands import app as emulator

app = typer.Typer()
app.command()(run)
app.command()(report)
app.command()(compare)
app.command()(explain)
app.command()(new)
app.command()(schema)
app.add_typer(board, name="board")
app.add_typer(broker, name="broker")
app.add_typer(deploy, name="deploy")
app.add_typer(emulator, name="emulator")
