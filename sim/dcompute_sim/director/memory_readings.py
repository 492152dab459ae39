"""Readings of the nodes' memory: only where an expectation is about them, for each costs a collection."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from simpy import Environment, Event

from dcompute_sim.checks.memory_below import MemoryBelow
from dcompute_sim.interfaces.node import Node
from dcompute_sim.scenario import Scenario


def watch_memory(env: Environment, scenario: Scenario, nodes: Mapping[str, Node]) -> None:
    """Start a process for each `memory_below` of the scenario."""
    for check in scenario.expect:
        if isinstance(check, MemoryBelow):
            asked = [node for node in nodes.values() if check.group in (None, node.group_name)]
            env.process(_read(env, asked, check.every))


def _read(env: Environment, nodes: Sequence[Node], every_s: float) -> Generator[Event, Any, None]:
    while True:
        yield env.timeout(every_s)
        for node in nodes:
            node.tell_memory()
