"""Broker or master were not there when the run ended: nothing comes to its end without them."""

from __future__ import annotations

from collections.abc import Sequence

from dcompute_sim import trace as t
from dcompute_sim.faults import KINDS, NodeFault
from dcompute_sim.report.text import seconds


def away(events: Sequence[t.Event]) -> list[str]:
    """Return who of the two was, since when, and after which fault."""
    since: dict[str, str] = {}
    fault = ""
    for event in events:
        match event:
            case t.FaultInjected(kind=kind, fault=name) if not issubclass(
                KINDS.get(kind, NodeFault), NodeFault
            ):
                fault = f" ({name})"
            case t.BrokerStopped():
                since["broker"] = seconds(event.t_s) + fault
            case t.MasterStopped(how="crash"):
                since["master"] = seconds(event.t_s) + fault
            case t.BrokerStarted():
                since.pop("broker", None)
            case t.MasterStarted():
                since.pop("master", None)
    return [f"the {who} was down when the run ended, since {when}" for who, when in since.items()]
