"""What goes wrong: one model a kind of fault, each with only the keys that mean something for it.

A fault is what a person could do to a board, a broker or a master (docs/scenarios.md has the table).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from dcompute_sim.scenario.when import Select, When
from dcompute_sim.yamlfile.model import Count, Flag, Model, Text, exactly_one, wrong
from dcompute_sim.yamlfile.units import Bandwidth, Duration

Moment = tuple[Duration, Duration]
For = Annotated[
    Duration | None,
    Field(default=None, alias="for", description="Healed after this long; never when left out."),
]
RestartAfter = Annotated[
    Duration | None,
    Field(default=None, description="Started again after this long; never when left out."),
]


class Fault(Model):
    """When it happens; every kind has these keys."""

    recovers: ClassVar[bool] = False  # has `for` or `restart_after`

    kind: str = Field(description="Which fault.")
    at: Duration | None = Field(
        default=None, description="At this time; with `phase`, counted from the phase's start."
    )
    every: Duration | None = Field(default=None, description="Again and again, this far apart.")
    between: Moment | None = Field(
        default=None, description="At a random moment between two times, drawn from the seed."
    )
    when: When | None = Field(
        default=None, description="When this has happened; not any more in the phase `quiet`."
    )
    times: Count | None = Field(
        default=None,
        description="How often: with `every`, `between` (so many moments) or `when` (so many events).",
    )
    until: Duration | None = Field(default=None, description="With `every`: not after this time.")
    phase: Text | None = Field(
        default=None, description="Times count from this phase's start; alone, it is at that start."
    )
    sure: Flag = Field(
        default=False,
        description="Waits until there is somebody it can hit (a node that has a connection, if it ends one; "
        "a connected master; a broker that is up), and lasts until it had an effect; both at most until the "
        "phase `quiet`.",
    )

    @property
    def lasts(self) -> float | None:
        """Seconds until it is undone (healed, restarted); None for never."""
        healed: float | None = getattr(self, "heal_after", None)
        return healed if healed is not None else getattr(self, "restart_after", None)

    @model_validator(mode="after")
    def _timing(self) -> Fault:
        if self.every is not None:
            if self.between is not None or self.when is not None:
                exactly_one(self, "every", "between", "when")
            if self.every <= 0:
                raise wrong("`every` must be longer than 0s")
            if self.times is None and self.until is None and self.phase is None:
                raise wrong("this fault never ends: add `times`, `until` or `phase` to `every`")
        elif self.phase is None or self.when is not None or self.between is not None:
            exactly_one(self, "at", "every", "between", "when")
        if self.when is not None and self.phase is not None:
            raise wrong("a fault belongs to a `phase` or happens `when` something did, not both")
        if self.times is not None and self.every is None and self.between is None and self.when is None:
            raise wrong("`times` needs `every`, `between` or `when`")
        if self.until is not None and self.every is None:
            raise wrong("`until` needs `every`")
        if self.between is not None and self.between[0] > self.between[1]:
            raise wrong("`between` is written with the earlier time first")
        return self


class NodeFault(Fault):
    """Done to selected nodes."""

    select: Select = Field(default=Select(), description="Which nodes; one at random when left out.")

    @model_validator(mode="after")
    def _same(self) -> NodeFault:
        if self.select.same and self.when is None:
            raise wrong("`select: {same: true}` needs a `when`: it is the node of that event")
        return self


class Crash(NodeFault):
    """The program dies; its kernel closes the connection (FIN)."""

    recovers = True
    kind: Literal["crash"]
    restart_after: RestartAfter


class PowerCut(NodeFault):
    """The board loses power: silence, no goodbye of any kind."""

    recovers = True
    kind: Literal["power_cut"]
    restart_after: RestartAfter


class Reboot(NodeFault):
    """The board restarts itself (`machine.reset`): silence, then a new boot."""

    recovers = True
    kind: Literal["reboot"]
    restart_after: Duration = Field(default=2.0, description="How long the boot takes.")


class Hang(NodeFault):
    """The program stands still; its connection stays open and silent."""

    recovers = True
    kind: Literal["hang"]
    heal_after: For


class Reset(NodeFault):
    """The connection is reset (RST); the node may connect again at once."""

    kind: Literal["reset"]


class WifiDrop(NodeFault):
    """The node loses its Wi-Fi: silence, and its WLAN says so."""

    recovers = True
    kind: Literal["wifi_drop"]
    heal_after: For


class DeadLink(NodeFault):
    """Nothing gets through, yet the WLAN still says connected."""

    recovers = True
    kind: Literal["dead_link"]
    heal_after: For


class SlowLink(NodeFault):
    """The link gets slow."""

    recovers = True
    kind: Literal["slow_link"]
    latency: Duration | None = Field(default=None, description="One way, instead of the usual.")
    jitter: Duration | None = Field(default=None, description="Instead of the usual.")
    bandwidth: Bandwidth | None = Field(default=None, description="Each way, instead of the usual.")
    heal_after: For

    @model_validator(mode="after")
    def _slow(self) -> SlowLink:
        if self.latency is None and self.jitter is None and self.bandwidth is None:
            raise wrong("say what is slow: `latency`, `jitter` or `bandwidth`")
        return self


class ApGone(NodeFault):
    """The access point goes away: all its nodes lose their Wi-Fi together and find no network."""

    recovers = True
    kind: Literal["ap_gone"]
    select: Select = Field(
        default=Select(count="all"), description="The nodes on this access point; all when left out."
    )
    heal_after: For


class Flap(NodeFault):
    """The link goes down and up, again and again."""

    recovers = False
    kind: Literal["flap"]
    cycles: Count = Field(default=10, description="How many times it goes down.")
    down: Duration = Field(default=0.2, description="How long it is down each time.")
    up: Duration = Field(default=0.2, description="How long it is up in between.")


class Clone(NodeFault):
    """A second node with the same id is switched on, as when two boards got one config."""

    recovers = True
    kind: Literal["clone"]
    heal_after: For


class StaleWill(NodeFault):
    """The connection breaks, the node is back, and then the old connection's will arrives."""

    kind: Literal["stale_will"]
    delay: Duration = Field(default=0.5, description="How long after the node is back the old will arrives.")


class Inject(NodeFault):
    """A stranger publishes a message. `{node}` in topic and payload is the selected node's id."""

    kind: Literal["inject"]
    topic: Text = Field(description="Where to, such as `{node}/status`; without wildcards.")
    payload: Any = Field(
        default=None, description="A text is sent as it is, a mapping or list as JSON, nothing as no bytes."
    )
    hex: Annotated[str, Field(pattern=r"^([0-9a-fA-F]{2})*$")] | None = Field(
        default=None, description="The bytes in hexadecimal, instead of `payload`."
    )
    qos: Literal[0, 1, 2] = Field(default=1, description="Quality of service it is published with.")
    retain: Flag = Field(default=False, description="Whether the broker keeps it.")

    @property
    def names_node(self) -> bool:
        """Whether the message depends on the selected node."""
        return "{node}" in self.topic or "{node}" in str(self.payload)

    @model_validator(mode="after")
    def _message(self) -> Inject:
        if self.hex is not None and self.payload is not None:
            raise wrong("give `payload` or `hex`, not both")
        if any(char in self.topic for char in "+#\0"):
            raise wrong(f"`{self.topic}` is no topic to publish to: it has a wildcard")
        return self


class BrokerStop(Fault):
    """The broker goes away, and comes back with its memory after `for`."""

    recovers = True
    kind: Literal["broker_stop"]
    heal_after: For


class BrokerRestart(Fault):
    """The broker stops and starts again."""

    recovers = True
    kind: Literal["broker_restart"]
    memory: Literal["keep", "lose"] = Field(
        default="keep", description="Whether retained messages and kept sessions survive."
    )
    heal_after: Duration = Field(default=1.0, alias="for", description="How long it is away.")


class MasterCrash(Fault):
    """The master's process dies."""

    recovers = True
    kind: Literal["master_crash"]
    restart_after: RestartAfter


AnyFault = Annotated[
    Crash
    | PowerCut
    | Reboot
    | Hang
    | Reset
    | WifiDrop
    | DeadLink
    | SlowLink
    | ApGone
    | Flap
    | Clone
    | StaleWill
    | Inject
    | BrokerStop
    | BrokerRestart
    | MasterCrash,
    Field(discriminator="kind"),
]


KINDS: dict[str, type[Fault]] = {
    get_args(cls.model_fields["kind"].annotation)[0]: cls for cls in get_args(get_args(AnyFault)[0])
}
"""Every kind of fault by the name it has in a scenario."""

NODE_FAULTS = tuple(name for name, cls in KINDS.items() if issubclass(cls, NodeFault))
"""The kinds that are done to nodes."""
