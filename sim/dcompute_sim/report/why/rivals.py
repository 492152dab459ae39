"""Who has one id with another: the broker throws each out for the other, which neither is told.

To a program that is thrown out its connection is lost, and no more; the trace says who came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dcompute.parts import number_of
from dcompute_sim import trace as t
from dcompute_sim.checks.check import named, of_kinds
from dcompute_sim.report.text import seconds

_MOST = 3  # ids told of


def rivals(events: Sequence[t.Event]) -> list[str]:
    """Return of each id that several use, nodes or a node and its clones, who they are, how often one was
    thrown out, and until when."""
    by_id = sharing(events)
    shared = {name: key for key, names in by_id.items() for name in names}
    thrown, last_s = Counter[str](), dict[str, float]()
    online: dict[str, str] = {}  # id -> who is connected under it, as far as its program knows
    for event in of_kinds(_OF_CONNECTIONS, events) if shared else ():
        name: str = event.node  # type: ignore[attr-defined]  # as all of these have
        key = shared.get(name)
        if key is None:
            continue
        if isinstance(event, t.NodeConnecting):
            if online.get(key, name) != name:
                thrown[key] += 1
                last_s[key] = event.t_s
            online[key] = name
        elif online.get(key) == name:
            del online[key]
    return [
        f"{named(by_id[key])} use one id, `{key}`: the broker threw one out for the other "
        f"{number_of(count, 'time')}, the last at {seconds(last_s[key])}; a program that is thrown out knows "
        "only that its connection is lost"
        for key, count in thrown.most_common(_MOST)
    ]


def sharing(events: Sequence[t.Event]) -> dict[str, list[str]]:
    """Return the ids that more than one has, and who these are: as they connect, where that is seen."""
    ids: dict[str, str] = {}
    for event in of_kinds(_OF_IDS, events):
        match event:
            case t.NodeDefined(node=node):
                ids[node] = event.id or node
            case t.ParticipantDefined(name=name, role=t.Role.CLONE, node=node):
                ids[name] = ids.get(node, node)
            case t.ConnectRead(node=node, client_id=client_id):
                ids[node] = client_id
    found: dict[str, list[str]] = {}
    for name, key in ids.items():
        found.setdefault(key, []).append(name)
    return {key: names for key, names in found.items() if len(names) > 1}


_OF_IDS = frozenset({t.NodeDefined, t.ParticipantDefined, t.ConnectRead})
_OF_CONNECTIONS = frozenset({t.NodeConnecting, t.NodeDisconnected, t.NodeStopped})
