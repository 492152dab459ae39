"""What a fault is: an entry of `faults:`, what it does, and what is known of its kind.

Rules:

* One kind, one file: its YAML model, how it is done (`inject`), which effects prove it, how a broker can see
  it, what it needs, where it cannot be done, its part in swarms, its words. Whoever needs to know something
  of a kind asks its class; nobody else has a list of kinds. So all that a new kind takes is a class with a
  `kind` of its own, in a module of this package or in any other that is imported before a scenario is read.
* A kind says what it is, not what follows: a check finds out whether a death is due from `seen`, not from a
  name. What is not said has the value that most kinds have.
* `inject` is a SimPy process on whatever engine: it sees protocols (`injection.py`), never a class above this
  package. What it changes it also undoes, unless it is for good.

Checks know kinds only by the names in a trace. Of a kind that this installation does not know (a trace from
elsewhere) nothing can be said, so nothing is: `kind_of` gives None, and the verdict is inconclusive.
"""

from __future__ import annotations

import enum
import inspect
import random
from collections.abc import Collection, Generator, Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, SchemaValidator, core_schema
from simpy import Event

from dcompute_sim.faults.effects import Effect
from dcompute_sim.faults.injection import Injection, World
from dcompute_sim.faults.schedule import Schedule, Select
from dcompute_sim.registry import Registry
from dcompute_sim.yamlfile.units import Duration
from dcompute_sim.yamlfile.yaml_model import ListEntry, Text, wrong

Steps = Generator[Event, object, None]
For = Annotated[
    Duration | None,
    Field(default=None, alias="for", description="Healed after this long; never when left out."),
]
RestartAfter = Annotated[
    Duration | None,
    Field(default=None, description="Started again after this long; never when left out."),
]


class Seen(enum.Enum):
    """How a fault shows to the broker, which decides when a death is due and what may explain one."""

    CLOSED = "closed"
    """At once: the connection ends with FIN or RST, and the will follows."""

    SILENCE = "silence"
    """Only as silence: nothing more crosses, not even FIN, until the keepalive is over."""

    MAY_BREAK = "may break"
    """It may end a connection, and so may explain a death, but need not cause one."""

    DELAY = "delay"
    """What is said comes later; where that takes as long as the broker has patience, the link tells so
    itself (`wire_late`), and nothing else explains a death."""

    HARMLESS = "harmless"
    """It ends no node's connection."""


class Platform(enum.Enum):
    """Where a fault is done."""

    SIMULATED = "a simulated node"
    EMULATED = "an emulated board"
    VIRTUAL_BOARD = "a virtual board on a serial port"
    REAL_BOARD = "a real board"


UNSEEN_SILENCE = "nothing wanted to cross while it lasted"
MORE_TO_SAY = "work for the node, a keepalive shorter than the fault, or `sure: true`"


class _Kind(ListEntry):
    kind: str = Field(description="Which fault.")


class Fault(Schedule, _Kind):
    """One entry of `faults:`, whatever kind it is. The bases for kinds are those below."""

    struck: ClassVar[str]
    """To what it is done: nodes, broker or master."""

    seen: ClassVar[Seen] = Seen.HARMLESS
    effects: ClassVar[frozenset[Effect]]
    """Its receipts: what it must be seen to do, or it never bit."""

    recovers: ClassVar[bool] = False
    """It has `for` or `restart_after`; known from its fields."""

    unseen: ClassVar[str] = "nothing was seen of it"
    """Why it may have had no effect that could be seen."""

    remedy: ClassVar[str] = "`sure: true` lets it go on until it had an effect"
    """What would have given it one."""

    impossible: ClassVar[Mapping[Platform, str]] = MappingProxyType({})
    """Where it cannot be done, and why."""

    drawn: ClassVar[bool] = True
    """Swarms draw it."""

    colour: ClassVar[str] = ""
    """In pictures, as `#b3261e`; one of a palette when it has none of its own."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls.recovers = not {"heal_after", "restart_after"}.isdisjoint(cls.model_fields)
        if "kind" in inspect.get_annotations(cls):
            if not hasattr(cls, "effects"):
                raise TypeError(f"{cls.__name__} has no `effects`: nothing would show that it bit")
            KINDS.add(get_args(cls.model_fields["kind"].annotation)[0], cls)

    witness: Literal["required", "optional"] = Field(
        default="required",
        description="`optional`: the run is not undecided when nothing was seen of this fault; a silence of "
        "an idle node may heal before anybody wanted to say anything.",
    )

    @property
    def lasts(self) -> float | None:
        """Seconds until it is undone (healed, restarted); None for never."""
        healed: float | None = getattr(self, "heal_after", None)
        return healed if healed is not None else getattr(self, "restart_after", None)

    def inject(self, act: Injection) -> Steps:
        """Do it, and undo it in time; over when the fault is."""
        raise NotImplementedError

    def possible(self, world: World) -> bool:
        """Say whether there is something to strike just now. Of nodes the schedule knows that itself."""
        return True

    def details(self) -> str:
        """Return its own keys in words, for `explain`: "10 times down 200ms". Empty when there is nothing to
        say."""
        return ""

    def senseless(self) -> Iterator[tuple[str, str, str]]:
        """Yield what may be said in form and yet has no meaning: key, complaint, what to do instead."""
        return iter(())

    @classmethod
    def draw(cls, rng: random.Random, left_s: float) -> dict[str, object]:
        """Return its own keys in a swarm, drawn.

        Args:
            left_s: the time in which it must be over.
        """
        return {}


class NodeFault(Fault):
    """Done to selected nodes."""

    struck = "nodes"
    unseen = "no connection of the node was seen to end"
    remedy = "`sure: true` waits for a node that has one"
    stops: ClassVar[bool] = False
    """The node's program ends with it, and that is told by `node_stopped`."""

    leaves: ClassVar[bool] = False
    """The node goes in good order (`offline`, DISCONNECT, no will), as `node_stopped` (exit) tells."""

    ours_only: ClassVar[bool] = False
    """Only programs that we know can be asked to do it, not a group's own `files`."""

    momentary: ClassVar[bool] = False
    """Over as soon as it is done: what follows is the node's own doing."""

    needs_connection: ClassVar[bool] = True
    """There is nothing to strike at a node without one; the others meet its attempts."""

    needs_hooks: ClassVar[bool] = False
    """A board must be told to do it, so its firmware needs debug hooks."""

    wide: ClassVar[bool] = False
    """It takes all nodes that its `select` does not leave out, so a swarm draws it more sparingly."""

    select: Select = Field(default=Select(), description="Which nodes; one at random when left out.")

    @model_validator(mode="after")
    def _same(self) -> NodeFault:
        if self.select.same and self.when is None:
            raise wrong("`select: {same: true}` needs a `when`: it is the node of that event")
        return self

    @property
    def access_points(self) -> Collection[str]:
        """Those that the struck boards must know, by name."""
        return ()

    @property
    def needs_node(self) -> bool:
        """Whether there must be a node to strike."""
        return True


class BrokerFault(Fault):
    """Done to the broker."""

    struck = "broker"

    def possible(self, world: World) -> bool:
        return world.broker.is_up


class MasterFault(Fault):
    """Done to a master."""

    struck = "master"

    master: Text = Field(default="master", description="Which: `master`, or one of `masters`.")

    def possible(self, world: World) -> bool:
        return world.masters[self.master].connected


KINDS: Registry[Fault] = Registry("kind of fault")
"""Every kind of fault by the name it has in a scenario."""


def kind_of(name: str) -> type[Fault] | None:
    """Return the kind of this name; None for one that is not known here."""
    return KINDS.get(name)


class _OfAnyKind:
    """Validates an entry with the model that KINDS has for its `kind`, as a union of all of them would.

    A union of the one that is named, or of all if it is none of them: a run uses a few of thirty kinds, whose
    modules and validators take two megabytes.
    """

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(_of_its_kind)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, object]:
        for cls in KINDS.values():
            cls.model_rebuild()
        choices: dict[object, CoreSchema] = {
            kind: cls.__pydantic_core_schema__ for kind, cls in KINDS.items()
        }
        return handler(core_schema.tagged_union_schema(choices, discriminator="kind"))


def _of_its_kind(entry: object) -> object:
    kind = entry.get("kind") if isinstance(entry, dict) else getattr(entry, "kind", None)
    named = KINDS.get(kind) if isinstance(kind, str) else None
    return _union(tuple(KINDS.items()) if named is None else ((kind, named),)).validate_python(entry)


@cache
def _union(kinds: tuple[tuple[object, type[Fault]], ...]) -> SchemaValidator:
    choices: dict[object, CoreSchema] = {
        kind: core_schema.no_info_plain_validator_function(cls.model_validate) for kind, cls in kinds
    }
    return SchemaValidator(core_schema.tagged_union_schema(choices, discriminator="kind"))


AnyFault = Annotated[Fault, _OfAnyKind()]
"""A fault of any kind, as an entry of a file."""
