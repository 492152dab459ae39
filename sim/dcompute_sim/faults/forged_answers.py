"""Fault: somebody who reads a node's tasks answers them, wrongly and before it does."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field

from dcompute_sim.faults.effects import PUBLISHED
from dcompute_sim.faults.fault import For, NodeFault, Steps
from dcompute_sim.faults.injection import Injection
from dcompute_sim.yamlfile.units import Duration

_FORGED = "forged"
_NO_WORK = ("cancel", "recall", "settle")


class ForgedAnswers(NodeFault):
    """Somebody who reads what the node is asked answers each task before it does, with a result of his own.

    Whoever may write where a node answers, and has read its status, can answer in its name; that is for the
    broker's access rules. These are those that an asker can tell from the node's own.
    """

    effects = frozenset({PUBLISHED})
    unseen = "no task came that could be answered so: an executor's; for `other-node` to an older node"
    remedy = "work for the node, or `sure: true`"
    needs_connection = False
    drawn = False  # what an attacker does is not chance's

    kind: Literal["forged_answers"]
    heal_after: For
    how: Literal["other-life", "other-attempt", "other-node", "retained"] = Field(
        default="other-life",
        description="`other-life`: as from a life that the node never had. `other-attempt`: that another "
        "attempt than this one has failed. `other-node`: in the name of "
        "another node, where the asker has to listen to all (a node with `credit: 0`). `retained`: as the "
        "node itself would, and the broker keeps it for whoever subscribes later.",
    )
    delay: Duration = Field(default=0.0, description="How much later than the task.")

    def inject(self, act: Injection) -> Steps:
        own = act.node.node_id
        task_topic, statuses = act.world.topics.task_of(own), act.world.topics.status_of("+")
        others: dict[str, str] = {}  # node id -> incarnation

        def heard(topic: str, payload: bytes) -> list[tuple[str, bytes]]:
            try:
                message = json.loads(payload)
            except ValueError:
                return []
            if topic != task_topic:
                if message.get("node_id") != own:
                    others[str(message.get("node_id"))] = str(message.get("inc"))
                return []
            if "id" not in message or any(word in message for word in _NO_WORK):
                return []
            said = self._answer(act, message, own, others)
            if said:
                act.effect(PUBLISHED, f"answered {message['id']}, as {self.how}")
            return said

        leave: Callable[[], None] = yield from act.world.eavesdrop(
            act.key,
            [task_topic, *([statuses] if self.how == "other-node" else [])],
            heard,
            delay_s=self.delay,
            retain=self.how == "retained",
        )
        yield from act.lasting(leave)

    def _answer(
        self, act: Injection, task: dict[str, Any], own: str, others: dict[str, str]
    ) -> list[tuple[str, bytes]]:
        answer: dict[str, Any] = {"task_id": task["id"], "result": _FORGED, "timestamp": act.env.now}
        results = act.world.topics.results
        if self.how == "other-node":
            if "from" in task:
                return []
            return [
                (results, json.dumps({**answer, "node_id": node, "inc": inc}).encode())
                for node, inc in others.items()
            ]
        if "from" not in task:
            return []
        life = _FORGED if self.how == "other-life" else task["boot"]
        answer |= {"node_id": own, "inc": f"{life}.1", "ok": True}
        answer |= {"n": task["n"], "attempt": task["attempt"]}
        if self.how == "other-attempt":
            error = {"type": "Forged", "message": "it failed", "traceback": ""}
            answer |= {"ok": False, "result": None, "error": error, "attempt": task["attempt"] + 1}
        return [(f"{results}/{task['from']}", json.dumps(answer).encode())]

    def details(self) -> str:
        return self.how
