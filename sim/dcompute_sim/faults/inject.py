"""Fault: somebody else publishes a message."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, Strict, model_validator

from dcompute.node_core import MAX_PAYLOAD_BYTES
from dcompute_sim.faults.effects import PUBLISHED
from dcompute_sim.faults.fault import NodeFault, Steps
from dcompute_sim.faults.injection import Injection, World
from dcompute_sim.faults.schedule import Select
from dcompute_sim.yamlfile.yaml_model import Flag, Model, Text, wrong


class Fill(Model):
    """A text, again and again."""

    text: Text = Field(description="Such as `x`.")
    times: Annotated[int, Strict(), Field(ge=1, le=MAX_PAYLOAD_BYTES)] = Field(description="How often.")


class Inject(NodeFault):
    """A probe client publishes a message. `{node}` in topic and payload is the selected node's id, and
    `{boot}` in the payload the nonce of its present life; `{asker}` there is the executor's name, and
    `{fill}` what `fill` says."""

    effects = frozenset({PUBLISHED})
    unseen = "the broker did not acknowledge the message"
    remedy = "`sure: true` publishes it again until it does"
    drawn = False  # an injected message is somebody's, not chance's

    kind: Literal["inject"]
    topic: Text = Field(description="Where to, such as `{node}/status`; without wildcards.")
    payload: object = Field(
        default=None, description="A string is sent as it is, a mapping or list as JSON, nothing as no bytes."
    )
    fill: Fill | None = Field(
        default=None, description="What `{fill}` in the payload stands for, such as `{text: x, times: 1000}`."
    )
    hex: Annotated[str, Field(pattern=r"^([0-9a-fA-F]{2})*$")] | None = Field(
        default=None, description="The bytes in hexadecimal, instead of `payload`."
    )
    qos: Literal[0, 1, 2] = Field(default=1, description="Quality of service it is published with.")
    retain: Flag = Field(default=False, description="Whether the broker keeps it.")

    @property
    def names_node(self) -> bool:
        """Whether the message depends on the selected node."""
        return "{node}" in self.topic or any(it in str(self.payload) for it in ("{node}", "{boot}"))

    @model_validator(mode="after")
    def _message(self) -> Inject:
        if self.hex is not None and self.payload is not None:
            raise wrong("give `payload` or `hex`, not both")
        if (self.fill is None) is ("{fill}" in str(self.payload)):
            raise wrong("`{fill}` in the payload and `fill` go together")
        if any(char in self.topic for char in "+#\0"):
            raise wrong(f"`{self.topic}` is not a topic to publish to: it has a wildcard")
        return self

    @property
    def needs_node(self) -> bool:
        return self.names_node

    def possible(self, world: World) -> bool:
        return world.broker.is_up

    def inject(self, act: Injection) -> Steps:
        node = act.node.node_id if act.struck is not None else ""
        topic = act.world.topics.prefix + self.topic.replace("{node}", node)
        boot = act.node.inc.rpartition(".")[0] if act.struck is not None else ""
        payload = self._bytes(node, boot, act.world.masters["master"].asker)
        return act.publish(topic, payload, qos=self.qos, retain=self.retain)

    def _bytes(self, node: str, boot: str, asker: str) -> bytes:
        if self.hex is not None:
            return bytes.fromhex(self.hex)
        if self.payload is None:
            return b""
        text = self.payload if isinstance(self.payload, str) else json.dumps(self.payload, ensure_ascii=False)
        text = text.replace("{node}", node).replace("{boot}", boot).replace("{asker}", asker)
        return text.replace("{fill}", self.fill.text * self.fill.times if self.fill else "{fill}").encode()

    def details(self) -> str:
        return f"to {self.topic}"

    def senseless(self) -> Iterator[tuple[str, str, str]]:
        if self.select != Select() and not self.names_node:
            yield (
                "select",
                "`select` has no effect: the message says neither `{node}` nor `{boot}`",
                "leave it out",
            )
