"""Who was not there when the run ended: without broker and master nothing comes to its end, and a node that
could not connect says why."""

from __future__ import annotations

from collections.abc import Sequence

from dcompute_sim import trace as t
from dcompute_sim.checks.check import named
from dcompute_sim.checks.history import history_of
from dcompute_sim.faults import KINDS, NodeFault
from dcompute_sim.report.text import plural, seconds

_STOPS = ("broker_stop", "broker_restart", "master_crash")  # told by who is down


def away(events: Sequence[t.Event]) -> list[str]:
    """Return who was away, since when, and after which fault; what else was done to broker or master and
    went on; and which nodes could not connect, as their programs were told."""
    since: dict[str, str] = {}
    going_on: dict[str, str] = {}  # faults of broker and master
    refused: dict[str, str] = {}  # node -> why it could not connect
    fault = ""
    for event in events:
        match event:
            case t.FaultInjected(kind=kind, fault=name) if not issubclass(
                known := KINDS.get(kind, NodeFault), NodeFault
            ):
                fault = f" ({name})"
                if known.recovers and kind not in _STOPS:
                    going_on[name] = f"{name} went on when the run ended, since {seconds(event.t_s)}"
            case t.FaultEnded(fault=name):
                going_on.pop(name, None)
            case t.NodeConnectFailed(node=node, reason=reason):
                refused[node] = reason
            case t.NodeConnected(node=node) | t.NodeStopped(node=node):
                refused.pop(node, None)
            case t.BrokerStopped():
                since["broker"] = seconds(event.t_s) + fault
            case t.MasterStopped(how="crash"):
                since["master"] = seconds(event.t_s) + fault
            case t.BrokerStarted():
                since.pop("broker", None)
            case t.MasterStarted():
                since.pop("master", None)
    alike: dict[str, list[str]] = {}
    history = history_of(events)
    for node, reason in refused.items():
        if not history.story(node).silenced and "broker" not in since:  # else that is why
            alike.setdefault(reason, []).append(node)
    return [
        *(f"the {who} was down when the run ended, since {when}" for who, when in since.items()),
        *going_on.values(),
        *(
            f"{plural(len(nodes), 'node')} could not connect when the run ended ({named(nodes)}): {reason}"
            for reason, nodes in alike.items()
        ),
    ]
