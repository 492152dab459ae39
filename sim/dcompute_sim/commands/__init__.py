"""The testbed's part of the `dcompute` command."""

from __future__ import annotations

import typer

from dcompute_sim.brokers.cli import app as broker
from dcompute_sim.commands.at_command import at
from dcompute_sim.commands.compare_command import compare
from dcompute_sim.commands.hunt_command import hunt
from dcompute_sim.commands.list_command import list_
from dcompute_sim.commands.report_command import report
from dcompute_sim.commands.run_command import run
from dcompute_sim.commands.scenario_commands import explain, new, schema
from dcompute_sim.commands.shrink_command import shrink
from dcompute_sim.commands.view_command import view
from dcompute_sim.deploy.acl_command import acl
from dcompute_sim.deploy.cli import app as deploy
from dcompute_sim.hardware.check_command import check as check_board
from dcompute_sim.micropython.cli import app as emulator
from dcompute_sim.virtual_boards.cli import app as board

app = typer.Typer()
app.command()(run)
app.command()(report)
app.command()(compare)
app.command()(at)
app.command()(view)
app.command()(hunt)
app.command()(shrink)
app.command()(explain)
app.command("list")(list_)
app.command()(new)
app.command()(schema)
app.command()(acl)
board.command("check")(check_board)
app.add_typer(board, name="board")
app.add_typer(broker, name="broker")
app.add_typer(deploy, name="deploy")
app.add_typer(emulator, name="emulator")
