"""A whole scenario, as its file says it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from dcompute_sim.faults import AnyFault
from dcompute_sim.scenario.acl import acl_lines
from dcompute_sim.scenario.board_record import BoardRecord
from dcompute_sim.scenario.broker_limits import AS_IT_COMES, BrokerLimits
from dcompute_sim.scenario.broker_tls import BrokerTls
from dcompute_sim.scenario.expectations import Expectation
from dcompute_sim.scenario.fleet import (
    MASTER,
    AskerSettings,
    Fleet,
    Master,
    MasterName,
    OtherMaster,
    master_names,
    node_names,
)
from dcompute_sim.scenario.network_settings import NetworkSettings, merged
from dcompute_sim.scenario.updates import Update
from dcompute_sim.scenario.workload import TaskStream
from dcompute_sim.yamlfile.units import Duration
from dcompute_sim.yamlfile.yaml_model import Count, Model, Text, wrong

Level = Annotated[int, Field(strict=True, ge=0, le=10_000)]
ScenarioName = Annotated[str, Field(pattern=r"^[^/\\.\x00-\x1f\x7f-\x9f][^/\\\x00-\x1f\x7f-\x9f]{0,199}$")]
PhaseName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,39}$")]
QUIET = "quiet"


class Swarm(Model):
    """Fleet, network, work and faults drawn at random from the seed, added to what the scenario fixes.

    A quiet time follows the faults, in which everything must converge.
    """

    nodes: tuple[Count, Count] = Field(default=(3, 12), description="Fewest and most nodes.")
    faults: tuple[Level, Level] = Field(default=(1, 8), description="Fewest and most faults.")
    tasks: tuple[Level, Level] = Field(default=(10, 100), description="Fewest and most tasks.")
    kinds: list[Text] | None = Field(
        default=None, description="Kinds of fault to draw from; all when left out."
    )
    node_kinds: list[Literal["python", "firmware"]] = Field(
        default=["python"], description="Kinds of node to draw from."
    )
    keepalive: tuple[Duration, Duration] = Field(default=(4.0, 20.0), description="Of each group.")
    latency: tuple[Duration, Duration] = Field(default=(0.001, 0.2), description="Of each group's network.")
    queue_limit: tuple[Count, Count] | None = Field(
        default=None, description="Of each group: how many tasks may wait at a node; as usual when left out."
    )
    hold_limit: tuple[Count, Count] | None = Field(
        default=None, description="Of each group: how many results a node may hold; as usual when left out."
    )
    noise: tuple[Level, Level] = Field(
        default=(0, 0),
        description="Fewest and most messages of strangers: malformed ones, and tasks and results that the "
        "broker retains.",
    )
    namespaces: list[str] = Field(
        default=[""], min_length=1, description="Namespaces to draw from, where the scenario has none."
    )
    span: Duration = Field(default=60.0, description="Faults and work happen within this time.")
    quiet: Duration = Field(default=90.0, description="Then a quiet time of this length.")

    @model_validator(mode="after")
    def _ordered(self) -> Swarm:
        for key in ("nodes", "faults", "tasks", "keepalive", "latency", "queue_limit", "hold_limit", "noise"):
            low, high = getattr(self, key) or (0, 0)
            if low > high:
                raise wrong(f"`{key}` is written with the smaller one first")
        if self.span < 1 or self.quiet < 1:
            raise wrong("`span` and `quiet` must be 1s or longer")
        return self


class Scenario(Model):
    """One scenario: who takes part, what they do, what goes wrong, and what must hold."""

    version: Literal[1] = Field(description="Of this language; always 1.")
    name: ScenarioName = Field(
        description="Short; reports and traces carry it, and files have its name: no slash, no dot in front, "
        "no control character."
    )
    description: str = Field(default="", max_length=10_000, description="What it shows.")
    time: Literal["virtual", "real"] = Field(
        default="virtual",
        description="virtual: simulated clock and network; real: real sockets and a real broker.",
    )
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] = Field(
        default=1, description="Everything random comes from it."
    )
    broker: Text = Field(
        default="auto",
        description="auto (model in virtual time, embedded in real time), model, embedded, mosquitto, "
        "amqtt-plain or a URL such as mqtt://user@host:1883 (the password from DCOMPUTE_PASSWORD). In "
        "virtual time every broker is the model, with the limits and the coarse clock of the one named: "
        "model, embedded, mosquitto, emqx or aws-iot.",
    )
    limits: BrokerLimits = Field(
        default=AS_IT_COMES, description="The broker's limits, instead of those it comes with."
    )
    users: dict[Text, Text] = Field(
        default={},
        description="In virtual time: the broker's users and their passwords. Who gives a name has to give "
        "its password; who gives none is let in.",
    )
    acl: Text | None = Field(
        default=None,
        description="Who may publish and read what, in the words of mosquitto's acl_file: `user NAME`, then "
        "lines of `topic [read|write|readwrite|deny] FILTER`; `pattern` lines, with %c for the client id and "
        "%u for the user, are for everybody. What no line allows is denied. Each program then gives its own "
        "name: a node its id, a master `master`, others theirs. In virtual time and on mosquitto.",
    )
    tls: BrokerTls | None = Field(
        default=None,
        description="The broker speaks TLS, and nodes check its certificate; left out: it does not. In "
        "virtual time a model of TLS, in real time the real one (which needs the extra `tls`).",
    )
    duration: Duration | None = Field(
        default=None, description="The run ends by then at the latest. Left out: the phases' sum."
    )
    namespace: Annotated[str, Field(max_length=100, pattern=r"^[^+#$\x00]*$")] = Field(
        default="", description="Prefix of all topics; no `+`, `#` or `$` in it."
    )
    network: NetworkSettings = Field(
        default=NetworkSettings(), description="What lies between nodes and broker."
    )
    fleet: Fleet = Field(default={}, description="Groups of nodes by name.")
    master: Master = Field(default=Master(), description="Who hands out the tasks and reports the dead.")
    masters: dict[MasterName, OtherMaster] = Field(
        default={}, description="Other programs by name that have work done on the same fleet."
    )
    workload: list[TaskStream] = Field(default=[], description="Streams of tasks.")
    faults: list[AnyFault] = Field(default=[], description="What goes wrong.")
    updates: list[Update] = Field(default=[], description="New versions for boards, over the air.")
    phases: dict[PhaseName, Duration] = Field(
        default={},
        description="Named stretches of the run, one after the other. One called `quiet` comes last: nothing "
        "is done in it, and everything must converge.",
    )
    random: Swarm | None = Field(default=None, description="Draw fleet, work and faults from the seed.")
    expect: list[Expectation] = Field(default=[], description="What must hold.")

    @field_validator("acl")
    @classmethod
    def _readable(cls, acl: str | None) -> str | None:
        acl_lines(acl or "")
        return acl

    @property
    def length_s(self) -> float:
        """The bound of the run: `duration`, or the phases' sum, or that of a swarm."""
        if self.duration is not None:
            return self.duration
        if self.phases:
            return sum(self.phases.values())
        return self.random.span + self.random.quiet if self.random else 0.0

    def network_of(self, group: str) -> NetworkSettings:
        """Return the network a group is on: its own keys over its board's record, and that over the
        scenario's.

        Real boards have a link of their own, to which nothing is added for their record.
        """
        settings = self.fleet[group]
        base = self.network
        if isinstance(settings.profile, BoardRecord) and settings.kind == "firmware":
            base = merged(base, settings.profile.network)
        return merged(base, settings.network)

    def nodes(self) -> dict[str, str]:
        """Return every node's name -> its group, in order."""
        return {node: name for name, group in self.fleet.items() for node in node_names(name, group.count)}

    def node_ids(self) -> dict[str, str]:
        """Return every node's name -> its id on the wire, in order."""
        return {node: self.fleet[group].node_id(node) for node, group in self.nodes().items()}

    def askers(self) -> dict[str, AskerSettings]:
        """Return every program that has work done, by name: the master, and those of `masters`."""
        others = {
            name: settings
            for entry, settings in self.masters.items()
            for name in master_names(entry, settings.count)
        }
        return {MASTER: self.master, **others}

    def askers_of(self, stream: TaskStream) -> list[str]:
        """Return who share the tasks of a stream, by turns."""
        if stream.master == MASTER:
            return [MASTER]
        return master_names(stream.master, self.masters[stream.master].count)
