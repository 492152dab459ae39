"""`dcompute at`: what everyone was and held at one moment of a saved trace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dcompute_sim.commands.status import explained
from dcompute_sim.trace import Participants, Role, read
from dcompute_sim.trace.replayer import NodeState, Replay
from dcompute_sim.yamlfile.units import UnitError, parse_duration


def at(
    trace: Annotated[Path, typer.Argument(help="A saved trace (JSON lines).", exists=True)],
    moment: Annotated[str, typer.Argument(help="When, such as 12.3s or 2min.")],
    node: Annotated[str | None, typer.Option(help="Only this node.")] = None,
) -> None:
    """Say what everyone was and held at a moment of a saved trace: links, tasks at work, beliefs, faults."""
    with explained():
        try:
            at_us = round(parse_duration(moment) * 1e6)
        except (UnitError, ValueError) as error:
            raise typer.BadParameter(str(error)) from None
        events = read(trace).events
        replay = Replay()
        for event in events:
            if event.t_us > at_us:
                break
            replay.take_in(event)
        who = Participants(events)
    shown = [name for name in replay.nodes if name and who.role(name) in (Role.NODE, Role.CLONE)]
    if node is not None:
        if node not in shown:
            raise typer.BadParameter(
                f"nothing is told of {node!r} by then; of these it is: {', '.join(shown[:20])}"
            )
        shown = [node]
    broker = "up" if replay.broker_is_up else "down"
    master = "connected" if replay.master_is_connected else "not connected"
    typer.echo(f"{at_us / 1e6:.6f} s: broker {broker}, master {master}")
    width = max(map(len, shown), default=0)
    for name in shown:
        typer.echo(f"{name:<{width}}  {_words(replay.nodes[name])}")


def _words(state: NodeState) -> str:
    words = [state.link + (f" as {state.inc}" if state.inc else "")]
    words.append(f"the master believes {state.status}" if state.status else "the master knows nothing of it")
    if state.at_work:
        words.append(f"at work on {', '.join(sorted(state.at_work))}")
    if state.is_stalled:
        words.append("a silence holds its connection up")
    words += [f"{kind} ({fault})" for fault, kind in state.faults.items()]
    return "; ".join(words)
