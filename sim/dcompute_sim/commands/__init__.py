"""The testbed's part of the `dcompute` command."""

from __future__ import annotations

import typer

from dcompute_sim.brokers.commands import app as broker
from dcompute_sim.commands.compare import compare
from dcompute_sim.commands.report import report
from dcompute_sim.commands.run import run
from dcompute_sim.commands.scenario import explain, new, schema
from dcompute_sim.deploy.commands import app as deploy
from dcompute_sim.micropython.commands import app as emulator
from dcompute_sim.virtual_boards.commands import app as board

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
