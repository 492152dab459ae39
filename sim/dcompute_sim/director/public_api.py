"""Uses the master's public API as a program above it would, and writes down what it says.

Checks compare it with what the master's observer told meanwhile: a program sees only this side. Nothing here
decides anything, and what it asks changes nothing but what a program would have taken out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from dcompute.errors import NodeUnavailable
from dcompute.master_transport import MasterNodeTransport
from dcompute_sim import trace as t
from dcompute_sim.answers import FAILURE, given
from dcompute_sim.director.node_ids import NodeIds
from dcompute_sim.production_events import value_digest
from dcompute_sim.recorder import Recorder

if TYPE_CHECKING:
    from dcompute.records import ResultRecord

_MARK = "_written_by_a_caller"
_GONE = ("dead", "offline")


class PublicApi:
    """What the program above one master sees.

    Args:
        forgets_s: how long after it was told of a node's death it forgets the node; None: never.
    """

    def __init__(self, recorder: Recorder, ids: NodeIds, forgets_s: float | None) -> None:
        self._recorder = recorder
        self._forgets_us = None if forgets_s is None else round(1e6 * forgets_s)
        self._to_forget: dict[str, int] = {}  # by node, when
        self._name_of = ids.name_of
        self._id_of = ids.id_of
        self._one = ""  # a node whose results are looked at before they are taken

    def called_back(self, nodes: Sequence[str]) -> None:
        """Record a call of the dead-nodes callback."""
        self._recorder.add(t.DeathsCalledBack, nodes=list(map(self._name_of, nodes)))
        if self._forgets_us is not None:
            self._to_forget |= dict.fromkeys(nodes, self._recorder.now_us() + self._forgets_us)

    def poll(self, master: MasterNodeTransport) -> None:
        """Take out what there is: deaths, results; see whether something is wrong."""
        connected, last_error = master.is_connected(), master.last_error
        if last_error or not connected:
            self._recorder.add(t.MasterPolled, connected=connected, last_error=last_error)
        dead = master.get_dead_nodes(disposable=True)
        left = master.get_dead_nodes()
        if dead or left:
            named = [list(map(self._name_of, nodes)) for nodes in (dead, left)]
            self._recorder.add(t.DeadNodesTaken, nodes=named[0], left=named[1])
        self._take_results(master)
        self._forget(master)

    def _forget(self, master: MasterNodeTransport) -> None:
        """Forget who has been dead for long enough."""
        now_us = self._recorder.now_us()
        for node in [node for node, due_us in self._to_forget.items() if due_us <= now_us]:
            del self._to_forget[node]
            info = master.get_node_info(node)
            if info is not None and info["status"] in _GONE:
                self._recorder.add(t.NodeForgotten, node=self._name_of(node))
                master.forget_node(node)

    def _take_results(self, master: MasterNodeTransport) -> None:
        seen = master.get_results(self._one) if self._one else {}
        taken = master.get_results(disposable=True)
        differing = [node for node in seen if node != self._one or seen[node] != taken.get(node)]
        self._one = next(iter(taken), self._one)
        for node, records in taken.items():
            for record in records:
                self._result(self._name_of(node), record)
        left = master.get_results()
        if left or differing:
            self._recorder.add(
                t.ResultsLeft,
                count=sum(map(len, left.values())),
                differing=list(map(self._name_of, differing)),
            )

    def _result(self, node: str, record: ResultRecord) -> None:
        answer = given(record["result"])
        self._recorder.add(
            t.ResultTaken,
            node=node,
            task=record["task_id"] or "",
            answer=value_digest(answer),
            value=value_digest(record["result"]),
            ok=answer != FAILURE,
            attempt=record["attempt"],
        )

    def ask(self, master: MasterNodeTransport, nodes: Iterable[str]) -> None:
        """Ask, at the end, everything about everybody."""
        having: dict[str, set[str]] = {}  # by status
        for name in nodes:
            node = self._id_of(name)
            info = master.get_node_info(node)
            if not isinstance(info, dict):
                continue
            info["capabilities"][_MARK] = info["status"] = _MARK
            again = master.get_node_info(node)
            assert isinstance(again, dict)
            status = again["status"]
            if status not in having:
                having[status] = {entry["node_id"] for entry in master.get_nodes_by_status(status)}
            self._recorder.add(
                t.MasterAnswered,
                node=name,
                status=status,
                inc=again["inc"],
                listed=node in having[status],
                shared=_MARK in again["capabilities"] or status == _MARK,
                sends=status in _GONE and _takes_a_task(master, node),
            )
        self._recorder.add(t.MasterCounted, values=master.counters())


def _takes_a_task(master: MasterNodeTransport, node: str) -> bool:
    try:
        master.send_task(node, {"function": "echo"})
    except NodeUnavailable:
        return False
    return True
