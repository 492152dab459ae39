"""What the run drew, written down: faults at the moments and on the nodes that the trace tells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dcompute_sim import trace as t
from dcompute_sim.faults import Fault, NodeFault
from dcompute_sim.faults.schedule import Select
from dcompute_sim.scenario import Scenario

_NO_SCHEDULE: dict[str, object] = dict.fromkeys(("every", "between", "when", "times", "until", "phase"))


def pinned(scenario: Scenario, events: Iterable[t.Event], only: Sequence[str] = ()) -> Scenario:
    """Return a concrete scenario with each strike of its faults as an entry of its own.

    Args:
        events: of its run.
        only: ids of the entries to write down; all when empty. The others stay as they are.
    """
    strikes: dict[str, dict[int, list[str]]] = {}
    for event in events:
        if isinstance(event, t.FaultInjected):
            strikes.setdefault(event.entry, {}).setdefault(event.t_us, []).append(event.node)
    faults: list[Fault] = []
    for fault in scenario.faults:
        entry = fault.id or ""
        if only and entry not in only:
            faults.append(fault)
            continue
        moments = strikes.get(entry, {})
        for number, (t_us, nodes) in enumerate(moments.items(), 1):
            update: dict[str, object] = {**_NO_SCHEDULE, "at": t_us / 1e6}
            if isinstance(fault, NodeFault):
                if not any(nodes):
                    continue  # it found nobody
                if fault.select != Select() or any(nodes):
                    update["select"] = Select(names=nodes)
            if len(moments) > 1:
                update["id"] = f"{entry}.{number}"
            faults.append(fault.model_copy(update=update))
    return scenario.model_copy(update={"faults": faults})
