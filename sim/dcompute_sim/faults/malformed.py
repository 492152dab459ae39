"""Fault: somebody publishes a malformed message."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from dcompute_sim.faults.effects import PUBLISHED
from dcompute_sim.faults.fault import NodeFault, Steps
from dcompute_sim.faults.injection import Injection, World
from dcompute_sim.yamlfile.yaml_model import Text, wrong

_TASK, _STATUS, _HELLO, _RESULT = "{node}", "{node}/status", "initialisation", "results"


def _json(**fields: object) -> str:
    return json.dumps(fields)


def _nested(depth: int) -> str:
    """Return an array of `depth` brackets."""
    return "[" * depth + "]" * depth


MALFORMED: dict[str, tuple[str, str | bytes]] = {
    # what is wrong with it: (topic, payload); `{node}` is the selected node's id, `{fill}` too much
    "empty task": (_TASK, b""),
    "task that is no text": (_TASK, b"\xff\xfe\x00\xc3"),
    "task that is no object": (_TASK, "[1, 2, 3]"),
    "task cut short": (_TASK, '{"id": "odd", "priority": 7'),
    "task with a constant that is no JSON": (_TASK, '{"id": "odd", "args": [NaN]}'),
    "task with text for a priority": (_TASK, _json(id="odd", priority="7")),
    "task with no priority": (_TASK, _json(id="odd", priority=None)),
    "task with a broken priority": (_TASK, _json(id="odd", priority=6.5)),
    "task with a flag for a priority": (_TASK, _json(id="odd", priority=True)),
    "task below the lowest priority": (_TASK, _json(id="odd", priority=0)),
    "task above the highest priority": (_TASK, _json(id="odd", priority=11)),
    "task without a name": (_TASK, _json(id="")),
    "task with a long name": (_TASK, _json(id="x" * 129)),
    "task with a list for a name": (_TASK, _json(id=["odd"])),
    "task nested too deep": (_TASK, '{"id": "odd", "args": ' + _nested(16) + "}"),
    "task that is too large": (_TASK, _json(id="odd", fill="{fill}")),
    "status that is no object": (_STATUS, '"ready"'),
    "status of another node": (_STATUS, _json(node_id="somebody-else", status="dead")),
    "status without a word": (_STATUS, _json(node_id="{node}", status="")),
    "status of too many words": (_STATUS, _json(node_id="{node}", status="x" * 65)),
    "status of a numbered incarnation": (_STATUS, _json(node_id="{node}", status="dead", inc=7)),
    "status with a list of capabilities": (
        _STATUS,
        _json(node_id="{node}", status="lost", inc="x.1", capabilities=[]),
    ),
    "announcement of nobody": (_HELLO, _json(device_type="x", status="connected")),
    "announcement of a name that is a topic": (_HELLO, _json(node_id="results", status="connected")),
    "announcement of a name with a level": (_HELLO, _json(node_id="a/b", status="connected")),
    "announcement of a long name": (_HELLO, _json(node_id="x" * 65, status="connected")),
    "announcement of a numbered device": (_HELLO, _json(node_id="{node}", status="odd", device_type=7)),
    "result of nobody": (_RESULT, _json(result=1, timestamp=0)),
    "result without a result": (_RESULT, _json(node_id="{node}", timestamp=0, task_id="odd")),
    "result of a time in words": (_RESULT, _json(node_id="{node}", result=1, timestamp="noon")),
    "result of a task without a name": (_RESULT, _json(node_id="{node}", result=1, task_id="")),
    "result nested too deep": (_RESULT, '{"node_id": "{node}", "result": ' + _nested(16) + "}"),
}
"""Each breaks one rule of docs/protocol.md ("Limits"), and nothing else."""


def malformed(what: str, node: str) -> tuple[str, bytes]:
    """Return the topic, within the namespace, and the bytes of such a message about a node."""
    topic, payload = MALFORMED[what]
    if isinstance(payload, str):
        payload = payload.replace("{node}", node).replace("{fill}", "x" * 262_144).encode()
    return topic.replace("{node}", node), payload


def _known(what: str) -> str:
    if what not in MALFORMED:
        raise wrong(f"`{what}` is none of: {', '.join(MALFORMED)}")
    return what


class MalformedMessages(NodeFault):
    """Somebody publishes messages that break the protocol's limits: they are to be rejected, counted, and
    without effect. On the topic of the selected node's tasks, on its status, or on those that all share."""

    effects = frozenset({PUBLISHED})
    unseen = "the broker did not acknowledge the message"
    remedy = "`sure: true` publishes it again until it does"
    drawn = False  # swarms draw it beside their faults, as noise

    kind: Literal["malformed"]
    what: Annotated[Text, AfterValidator(_known)] | None = Field(
        default=None,
        description="What is wrong with it, such as `task cut short`; when left out each kind in turn.",
    )

    def possible(self, world: World) -> bool:
        return world.broker.is_up

    def inject(self, act: Injection) -> Steps:
        for number, what in enumerate([self.what] if self.what else MALFORMED):
            topic, data = malformed(what, act.whom)
            yield from act.publish(act.world.topics.prefix + topic, data, qos=1, retain=False, number=number)

    def details(self) -> str:
        return self.what or "of each kind"
