"""`dcompute at`: what everyone was and held at one moment of a saved trace."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from dcompute.parts import printable
from dcompute_sim.commands.status import explained
from dcompute_sim.report.text import listed, plural, seconds
from dcompute_sim.report.why.rivals import sharing
from dcompute_sim.trace import Participants, Role, read
from dcompute_sim.trace.replayer import NodeState, Replay
from dcompute_sim.trace.traffic import Traffic
from dcompute_sim.yamlfile.units import UnitError, parse_duration


def at(
    trace: Annotated[Path, typer.Argument(help="A saved trace (JSON lines).", exists=True)],
    moment: Annotated[str, typer.Argument(help="When, such as 12.3s or 2min.")],
    node: Annotated[str | None, typer.Option(help="Only this node.")] = None,
    sessions: Annotated[
        bool,
        typer.Option(
            "--sessions",
            help="Also what the broker held of each client, and what it retained: a run in virtual time is "
            "made again for that.",
        ),
    ] = False,
) -> None:
    """Say what everyone was and held at a moment of a saved trace: links, tasks at work, beliefs, faults, and
    what lay between them: connections, retained statuses, messages under way or waiting for a connection."""
    with explained():
        try:
            at_us = round(parse_duration(moment) * 1e6)
        except (UnitError, ValueError) as error:
            raise typer.BadParameter(str(error)) from None
        events = read(trace).events
        replay, traffic = Replay(), Traffic()
        for event in events:
            if event.t_us > at_us:
                break
            replay.take_in(event)
            traffic.take_in(event)
        who, by_id = Participants(events), sharing(events)
        told = _sessions(trace, at_us, node) if sessions else ""
    shown = [name for name in replay.nodes if name and who.role(name) in (Role.NODE, Role.CLONE)]
    if node is not None:
        if node not in shown:
            raise typer.BadParameter(
                f"nothing is told of {node!r} by then; of these it is: {', '.join(shown[:20])}"
            )
        shown = [node]
    broker = "up" if replay.broker_is_up else "down"
    master = "connected" if replay.master_is_connected else "not connected"
    over = f", when the run was over since {seconds(events[-1].t_s)}" if at_us > events[-1].t_us else ""
    typer.echo(f"{at_us / 1e6:.6f} s{over}: broker {broker}, master {master}")
    if node is None:
        typer.echo(_of_broker(traffic))
    width = max(map(len, shown), default=0)
    for name in shown:
        of_id = _of_id(name, who, replay, by_id)
        words = "; ".join([*_of_node(replay.nodes[name], of_id), *_between(traffic, name)])
        typer.echo(f"{name:<{width}}  {words}")
    if told:
        typer.echo(told)


def _of_broker(traffic: Traffic) -> str:
    """Describe it, as in `at the broker: 3 connections; retained 2 ready; 5 tasks under way, 2 of them
    waiting there`."""
    words = [plural(sum(map(len, traffic.connections.values())), "connection")]
    retained = ", ".join(f"{count} {status}" for status, count in Counter(traffic.retained.values()).items())
    words.append(f"retained {retained}" if retained else "nothing retained")
    tasks = f"{plural(len(traffic.tasks), 'task')} under way"
    waiting = sum(not traffic.connections.get(node) for node, _ in traffic.tasks.values())
    words.append(f"{tasks}, {waiting} of them to nodes without a connection" if waiting else tasks)
    words.append(f"{plural(len(traffic.results), 'result')} under way")
    if traffic.dropped:
        words.append(f"{plural(sum(traffic.dropped.values()), 'message')} dropped so far")
    return f"at the broker: {'; '.join(words)}"


def _sessions(trace: Path, at_us: int, node: str | None) -> str:
    """Say what the broker held then, of everybody or of one node's client."""
    from dcompute_sim.commands.broker_again import broker_history
    from dcompute_sim.page.broker_panel import figures, session_words

    history = broker_history(trace)
    if isinstance(history, str):
        return history
    held = history.at(sys.maxsize, at_us)
    clients = dict.fromkeys([*held.sessions, *held.dropped]) if node is None else {node: None}
    lines = ["sessions at the broker: " + ", ".join(f"{n:,} {name}" for name, n in figures(held).items())]
    width = max(map(len, clients), default=0)
    lines += [f"{client:<{width}}  {session_words(held, client)}" for client in clients]
    for topic, payload in held.retained.items():
        if node is None or node in topic.split("/"):
            lines.append(f"retained {topic}  {payload.decode('utf-8', 'replace')}")
    return "\n".join(map(printable, lines))


def _of_id(name: str, who: Participants, replay: Replay, by_id: dict[str, list[str]]) -> list[str]:
    """Return who else has its id, if anybody has, and is connected while it is not."""
    found = []
    if who.owner(name) != name:
        found.append(f"to the master it is {who.owner(name)}")
    for key, names in by_id.items():
        others = [other for other in names if other != name]
        if name in names and replay.nodes[name].link != "connected":
            there = [other for other in others if replay.nodes[other].link == "connected"]
            if there:
                return [
                    *found,
                    f"{there[0]} is connected under its id, `{key}`, and the broker keeps but one",
                ]
        if name in names and who.owner(name) == name:
            found.append(f"{listed(others)} has its id too, `{key}`")
    return found


def _of_node(state: NodeState, of_id: list[str]) -> list[str]:
    words = [state.link + (f" as {state.inc}" if state.inc else ""), *of_id]
    if state.status:
        words.append(f"the master believes {state.status}")
    elif not of_id:
        words.append("the master knows nothing of it")
    if state.at_work:
        words.append(f"at work on {', '.join(sorted(state.at_work))}")
    if state.waiting:
        words.append(f"waiting there: {listed(it.task for it in state.waiting)}")
    if state.is_stalled:
        words.append("a silence holds its connection up")
    return [*words, *(f"{kind} ({fault})" for fault, kind in state.faults.items())]


def _between(traffic: Traffic, name: str) -> list[str]:
    """Return what lies between a node and the others, as far as there is anything."""
    words = []
    if not traffic.connections.get(name):
        words.append("no connection")
    for what, under_way in (("tasks under way to it", traffic.tasks), ("results under way", traffic.results)):
        messages = [
            f"{task} (since {seconds(us / 1e6)})" for task, (node, us) in under_way.items() if node == name
        ]
        if messages:
            words.append(f"{what}: {listed(messages)}")
    if traffic.dropped[name]:
        words.append(f"{plural(traffic.dropped[name], 'message')} dropped for it")
    return words
