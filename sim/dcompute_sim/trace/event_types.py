"""Every type of event, in the order in which the reference (docs/scenario-reference.md) has them."""

from __future__ import annotations

from dcompute_sim.trace import api_events as api
from dcompute_sim.trace import executor_events as executors
from dcompute_sim.trace import fault_events as faults
from dcompute_sim.trace import final, participants
from dcompute_sim.trace import master_events as master
from dcompute_sim.trace import node_events as nodes
from dcompute_sim.trace import run_events as run
from dcompute_sim.trace import wire_events as wire
from dcompute_sim.trace.event import Event

EVENT_TYPES: tuple[type[Event], ...] = tuple(
    kind
    for module in (run, participants, nodes, master, executors, api, faults, wire, final)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
)
