"""From what a board's node core does, as the board tells it or its wire shows it, to the trace's events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dcompute.events import node_event
from dcompute_sim import trace as t
from dcompute_sim.interfaces.node import NodeSpec
from dcompute_sim.recorder import Recorder

_REFUSALS = {
    1: "it speaks another version of MQTT",
    2: "its client id",
    3: "the broker is unavailable",
    4: "wrong user name or password",
    5: "not authorised",
}
"""Return codes of CONNACK [MQTT-3.2.2-1]."""


class ObservedNode:
    """What is known of one board from outside: its status, its incarnation, whether it is connected."""

    def __init__(self, spec: NodeSpec, recorder: Recorder) -> None:
        self.name = spec.name
        self.node_id = spec.node_id
        self.group_name = spec.group_name
        self.status = ""
        self.inc = ""
        self.connected = False
        self.life = 0  # how often its program was started
        self._recorder = recorder
        self._observe = recorder.node_observer(spec.name)

    def tell_memory(self) -> None:
        pass

    def counters(self) -> dict[str, int]:
        return {}

    def core_event(self, name: str, fields: Mapping[str, Any]) -> None:
        """Take in what the node core did; names and fields are its own (`NodeCore.on_event`), or the
        wire's."""
        if name == "connect_read":
            self._recorder.add(t.ConnectRead, node=self.name, **fields)
            return
        if name == "publish_unread":
            self._recorder.add(t.PublishUnread, node=self.name, **fields)
            return
        if name == "node_subscribing":
            self._recorder.add(t.NodeSubscribing, node=self.name, **fields)
            return
        if name == "connect_refused":
            code = fields["code"]
            why = _REFUSALS.get(code, "for a reason of its own")
            self._log("warning", f"the broker refused its CONNECT: {why} ({code})")
            return
        if name == "node_disconnected":
            if not self.connected:
                return
            fields = {"reason": "the firmware says so", **fields}
            if fields["inc"] != self.inc:  # an older connection ends when a newer one is there already
                self._observe(node_event(name, fields))
                return
        if name == "task_taken":
            self._recorder.add(
                t.ExecutionBegan,
                node=self.name,
                task=str(fields["task"]),
                attempt=fields["attempt"],
                life=self.life,
            )
        if name == "result_held":
            ok = not (isinstance(fields["value"], dict) and "error" in fields["value"])
            self._recorder.add(t.TaskFinished, node=self.name, task=str(fields["task"]), ok=ok)
        if name in ("node_connecting", "node_disconnected"):
            self.connected = False
        elif name == "node_connected":
            self.connected = True
        elif name == "status_published":
            self.status = fields["status"]
        self.inc = fields.get("inc", self.inc)
        self._observe(node_event(name, fields))

    def _gone(self, how: str, why: str = "") -> None:
        self.status, self.inc, self.connected = "", "", False
        self._recorder.add(t.NodeStopped, node=self.name, how=how, why=why)

    def _log(self, level: str, text: str) -> None:
        self._recorder.add(t.LogLine, who=self.name, level=level, text=text)
