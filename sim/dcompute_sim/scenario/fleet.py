"""Who takes part: groups of nodes, and the master."""

from __future__ import annotations

import zlib
from typing import Annotated, Literal

from pydantic import Field, Strict, WithJsonSchema

from dcompute_sim.chips.chip_timing import DEFAULT, NAMES, UNTIMED, ChipTiming, chip_named
from dcompute_sim.faults.signal import Rssi
from dcompute_sim.scenario.board_record import BoardRecord
from dcompute_sim.scenario.distribution import Distribution
from dcompute_sim.scenario.network_settings import OwnNetwork
from dcompute_sim.scenario.stand_ins import StandIns
from dcompute_sim.yamlfile.units import Duration, Fraction, Size
from dcompute_sim.yamlfile.yaml_model import Count, Flag, Model, Scalar, Text

_TASKS_WAITING = {"python": 1000, "firmware": 32, "board": 32}
_RESULTS_WAITING = {"python": 10_000, "firmware": 32, "board": 32}
"""By default (docs/protocol.md, "Links")."""

FIRMWARE_ONLY = (
    *("heap", "files", "stand_ins", "entry", "config", "id", "profile", "layout", "timing", "access_points"),
    "wifi_password",
    "will",
    "broker_at",
)


class AccessPoint(Model):
    """One of several access points, as a group of boards hears it from where it stands."""

    rssi: Rssi = Field(
        default=-55,
        description="How strong it is there, in dBm; below -95 it is not heard, below -85 every other "
        "attempt to join fails. Not heard when left empty.",
    )
    channel: Annotated[int, Field(strict=True, ge=1, le=14)] = Field(
        default=6,
        description="A board joins the first channel's that has its network, of one channel the strongest, "
        "and stays until it hears that no more.",
    )
    ssid: Text | None = Field(default=None, description="Its network; the run's when left out.")


class Group(Model):
    """Nodes that are alike. They are named `<group>-1` to `<group>-<count>`."""

    kind: Literal["python", "firmware", "board"] = Field(
        default="python",
        description="python: the transport of this package; firmware: the ESP32 files in an emulator; "
        "board: real hardware.",
    )
    count: Count = Field(default=1, description="How many.")
    keepalive: Duration = Field(
        default=60.0,
        description="MQTT keepalive. A broker names a silent node dead after 1.5 times this, "
        "plus its own granularity.",
    )
    start: Duration = Field(default=0.0, description="When the first node of the group is switched on.")
    ramp: Duration = Field(default=0.0, description="Over what time the nodes are switched on, evenly.")
    poll: Duration = Field(default=0.1, description="How often the node's program asks for a task.")
    work: Distribution = Field(
        default=Distribution.model_validate("50ms"),
        description="python: how long a task takes. What a board does is in the task: "
        "`task: {function: sleep, args: [0.5]}`.",
    )
    fail_rate: Fraction = Field(
        default=0.0, description="python: share of tasks that end in an error result."
    )
    progress: Duration | None = Field(
        default=None,
        description="python: how often work says how far it is, to the executor that asked for it. Never, "
        "when left out.",
    )
    heeds_cancel: Flag = Field(
        default=False,
        description="python: work that is not wanted any more is ended as soon as the node is told, as "
        "`dcompute node --isolation process` does; else it goes on to its end.",
    )
    queue_limit: Count | None = Field(
        default=None,
        description="Tasks a node holds at most; when left out 1,000 (python) or 32 (firmware).",
    )
    hold_limit: Count | None = Field(
        default=None,
        description="Results that a node holds for a connection at most; when left out 10,000 (python) or 32 "
        "(firmware).",
    )
    credit: Annotated[int, Strict(), Field(ge=0, le=100_000)] | None = Field(
        default=None,
        description="python: how many unsettled tasks of one executor a node takes at a time; 16 when left "
        "out, or less where few may wait. 0: it knows no delivery end to end, as a node of before.",
    )
    keep: Size | None = Field(
        default=None,
        description="python: how many bytes of results a node keeps until their executor has settled them; "
        "16MiB when left out.",
    )
    functions: list[Text] | None = Field(
        default=None,
        description="python: the functions that a node announces, and knows: tasks that name another one "
        "fail there. When left out it announces none and knows all.",
    )
    network: OwnNetwork = Field(
        default=OwnNetwork(), description="What differs from the scenario's `network`."
    )
    variant: Text | None = Field(
        default=None,
        description="python, firmware: the mutant that these nodes are, by name: nodes with a known fault.",
    )
    heap: Size | None = Field(
        default=None, description="firmware: size of the MicroPython heap; 128KiB when left out."
    )
    files: Text | None = Field(
        default=None,
        description="firmware: folder of MicroPython files to run instead of ours, relative to this file.",
    )
    stand_ins: StandIns | None = Field(
        default=None,
        description="firmware: what stands in for the world around the boards: what is connected to their "
        "pins and buses, and modules in place of drivers. It never gets onto a board.",
    )
    entry: Text | None = Field(default=None, description="firmware: the file to start, `main.py` by default.")
    layout: Literal["flat", "slots"] | None = Field(
        default=None,
        description="firmware, board: `slots` keeps the program as `dcompute deploy` does, as version `v1` "
        "(a real board: as it was deployed), so that it can be updated over the air; flat when left out.",
    )
    access_points: dict[Text, AccessPoint] | None = Field(
        default=None,
        description="firmware: the access points that these boards hear, by name, such as "
        "`{hall: {rssi: -60, channel: 1}}`; the fault `signal` changes that. One that serves all when left "
        "out.",
    )
    wifi_password: Annotated[str, Field(min_length=8, max_length=64)] | None = Field(
        default=None,
        description="firmware: the password of its Wi-Fi, which refuses any other; the run's WIFI_PASSWORD "
        "is this. When left out any will do, but for one of `config`'s own, which has to be the run's.",
    )
    config: dict[str, Scalar] | None = Field(
        default=None,
        description="firmware: values for the board's config.py, such as `MQTT_BROKER: '{MQTT_HOST}'`: in "
        "braces a setting of the run, for programs that call it otherwise. A config.py among `files` comes "
        "first, and the run's settings, then these, after it.",
    )
    broker_at: list[Text] | None = Field(
        default=None,
        description="firmware, with `files`: the names and addresses in its source, such as "
        "`[broker.hivemq.com, 192.168.1.4]`, under which its program finds the run's broker, on any port.",
    )
    id: Text | None = Field(
        default=None,
        description="firmware: the id under which its program connects and speaks, when that is not "
        "config.NODE_ID: `'{unique_id}'` is `machine.unique_id()` in hexadecimal, `{name}` the node's name.",
    )
    will: Literal["required", "optional"] | None = Field(
        default=None,
        description="firmware, with `files`: `optional` for a program that has no last will, or one by which "
        "not everybody learns of its death, and means it so: then nobody has to know what it cannot tell.",
    )

    profile: (
        Annotated[
            Text | BoardRecord,
            WithJsonSchema({"type": "string"}),
        ]
        | None
    ) = Field(
        default=None,
        description="firmware: the record of a board (`dcompute board check`), relative to this file: its "
        "heap, speed, distance and Wi-Fi, where the group says nothing else.",
    )

    timing: (
        Annotated[
            Text | ChipTiming,
            WithJsonSchema({"type": "string"}),
        ]
        | None
    ) = Field(
        default=None,
        description="firmware, in virtual time: the chip whose time it takes to boot, join and compute: "
        f"{', '.join(NAMES)}, or a file in the form of theirs, relative to this one; {DEFAULT} when left "
        f"out. {UNTIMED}: computing takes no time. What a `profile` has measured comes first.",
    )

    def chip(self) -> ChipTiming | None:
        """Return what the group's boards take in virtual time; None: no more than the emulator needs."""
        return self.timing if isinstance(self.timing, ChipTiming) else chip_named(self.timing or DEFAULT)

    def node_id(self, name: str) -> str:
        """Return the id on the wire of the node of this group that is called `name`."""
        if self.id is None:
            return name
        return self.id.replace("{unique_id}", unique_id(name).hex()).replace("{name}", name)

    @property
    def tasks_waiting(self) -> int:
        """How many tasks may wait at each node."""
        return self.queue_limit or _TASKS_WAITING[self.kind]

    @property
    def results_waiting(self) -> int:
        """How many results may wait at each node for a connection."""
        return self.hold_limit or _RESULTS_WAITING[self.kind]


class AskerSettings(Model):
    """What has work done: an executor (docs/executor.md), and its settings."""

    keepalive: Duration = Field(default=10.0, description="MQTT keepalive of the master's own connections.")
    settle: Duration = Field(
        default=2.0, description="How long a node that is gone may take to come back before its tasks move."
    )
    resend: Duration = Field(
        default=15.0, description="After how long without an answer a task is sent again; then twice that."
    )
    losses: Count = Field(
        default=5, description="Attempts that may end without a trace before a task is quarantined."
    )
    max_pending: Count | None = Field(
        default=None,
        description="So many of its tasks may be on their way, less urgent ones not counted, or twice what "
        "the nodes take; a further one is refused, and asked for again a second later. Any number, when left "
        "out.",
    )
    probe: Duration | None = Field(
        default=None,
        description="A node that has said nothing for this long is asked whether it is there (`probe_s`), "
        "and declared dead if it says nothing to that. Never, when left out.",
    )
    tell: Duration | None = Field(
        default=None,
        description="How often it says what its queue is, to whoever watches. Never, when left out.",
    )
    network: OwnNetwork = Field(
        default=OwnNetwork(), description="What lies between it and the broker, if more than a cable does."
    )
    journal: Flag = Field(
        default=True, description="Written, so that a master that was killed goes on where it was."
    )
    notes: Flag = Field(
        default=True,
        description="The program itself remembers what is done. false: when it is started again it asks for "
        "everything anew, under the same keys, as a script does; what is done its journal answers.",
    )


class Master(AskerSettings):
    """The settings of the master: who reports the dead, and whose executor has the tasks done."""

    liveness: Duration | None = Field(
        default=None,
        description="A node known only from a retained status is declared dead when it has not spoken "
        "for this long; when left out, for 1.5 times its keepalive and 20s.",
    )
    forgets: Duration | None = Field(
        default=None,
        description="Its program forgets a node (`forget_node`) this long after it was told of its death, if "
        "that is not back. Never, when left out.",
    )
    remembers: Flag = Field(
        default=False,
        description="It writes down who is there (`journal` of MasterNodeTransport), so that it misses, when "
        "it is started again, who died while nobody was there to notice.",
    )
    node_limit: Count | None = Field(
        default=None, description="Nodes that it knows at a time; 20,000 when left out. More are turned away."
    )
    collects: Flag = Field(
        default=True,
        description="Its program takes results and deaths as they come; false: not before the run's end, so "
        "that results are kept until there is too much of them.",
    )
    variant: Text | None = Field(
        default=None, description="The mutant that the master is, by name: a master with a known fault."
    )


class OtherMaster(AskerSettings):
    """Another program that has work done on the same fleet, on a machine of its own."""

    count: Count = Field(
        default=1, description="How many such; `batch` with 2 are `batch.1` and `batch.2`, and share streams."
    )


GroupName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,39}$")]
Fleet = dict[GroupName, Group]
MasterName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,39}$")]
MASTER = "master"


def master_names(name: str, count: int) -> list[str]:
    """Return the names of the programs that an entry of `masters` stands for."""
    return [name] if count == 1 else [f"{name}.{index}" for index in range(1, count + 1)]


def unique_id(name: str) -> bytes:
    """Return the unique id of the chip of the emulated board `name`, which is also its MAC address."""
    return b"\x02" + zlib.crc32(name.encode()).to_bytes(5, "big")


def node_names(group: str, count: int) -> list[str]:
    """Return the names of a group's nodes. Not padded: `--set fleet.esp.count=1000` must not rename node
    7."""
    return [f"{group}-{index}" for index in range(1, count + 1)]
