"""When a fault strikes, and whom: `at`, `every`, `between`, `when`, `phase` and `select`.

Whatever kind it is; streams of tasks wait for the same events, and updates choose nodes in the same way. What
a schedule means in one run (its moments, drawn from the seed) is `scenario.plan`; who carries it out is
`director.schedule`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from dcompute_sim.trace import EVENT_TYPES, Event
from dcompute_sim.yamlfile.units import Duration, Fraction
from dcompute_sim.yamlfile.yaml_model import Count, Flag, Model, Scalar, ShortModel, Text, exactly_one, wrong

Moment = tuple[Duration, Duration]
EVENTS: dict[str, type[Event]] = {str(cls.__struct_config__.tag): cls for cls in EVENT_TYPES}


class When(ShortModel):
    """An event of the run's trace, by name, or with conditions that must all hold."""

    short_schema: ClassVar[dict[str, object]] = {"enum": list(EVENTS)}

    event: Text = Field(
        description="Name of a trace event, such as `task_taken` or `death_reported`.",
        json_schema_extra={"enum": list(EVENTS)},
    )
    node: Text | None = Field(default=None, description="Only of this node.")
    group: Text | None = Field(default=None, description="Only of nodes of this group.")
    where: dict[str, Scalar] = Field(
        default={}, description="Only when these fields of the event have these values."
    )
    count: Count = Field(default=1, description="Which of these events, counted from 1.")
    after: Duration = Field(default=0.0, description="How long after it.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        return {"event": value} if isinstance(value, str) else value

    def short(self) -> object:
        return self.event if self == When(event=self.event) else None

    def matches(self, event: Event, group_of: Mapping[str, str]) -> bool:
        """Say whether `event` is one of these (counting is the caller's). `group_of`: node name -> group."""
        if type(event) is not EVENTS.get(self.event):
            return False
        node = getattr(event, "node", None)
        if self.node is not None and node != self.node:
            return False
        if self.group is not None and group_of.get(node or "") != self.group:
            return False
        return all(getattr(event, key, None) == value for key, value in self.where.items())


class Select(Model):
    """To which nodes it happens: one healthy node at random, unless this says more.

    Only running nodes that no earlier fault still holds are chosen, except those given by `names`.
    """

    group: Text | list[Text] | None = Field(default=None, description="Among this group or these groups.")
    names: list[Text] | None = Field(default=None, description="Among these nodes; all of them by default.")
    status: Text | list[Text] | None = Field(
        default=None, description="Among nodes that say this status (`ready`, `busy`) of themselves."
    )
    count: Count | Literal["all"] | None = Field(default=None, description="How many, or `all`.")
    fraction: Fraction | None = Field(default=None, description="This share of them, at least one.")
    same: Flag = Field(default=False, description="The node of the event that triggered it (with `when`).")

    @model_validator(mode="after")
    def _sense(self) -> Select:
        if self.count is not None and self.fraction is not None:
            raise wrong("give `count` or `fraction`, not both")
        if self.same and any(value not in (None, True) for _, value in self):
            raise wrong("`same` is the event's own node: it goes with no other key")
        if self.names is not None and not self.names:
            raise wrong("`names` is empty: name a node or leave it out")
        return self

    @property
    def groups(self) -> list[str] | None:
        """The groups to choose from; None for any."""
        return [self.group] if isinstance(self.group, str) else self.group

    @property
    def statuses(self) -> list[str] | None:
        """The statuses to choose from; None for any."""
        return [self.status] if isinstance(self.status, str) else self.status


class Schedule(Model):
    """When it happens: every fault has these keys."""

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

    @model_validator(mode="after")
    def _timing(self) -> Schedule:
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


class Candidate(NamedTuple):
    """A node as the director sees it when a fault is due. `healthy`: running and held by no fault."""

    name: str
    group: str
    status: str = "ready"
    healthy: bool = True


def pick(select: Select, candidates: Sequence[Candidate], rng: random.Random, same: str = "") -> list[str]:
    """Return the names of the nodes chosen, in the candidates' order. May be fewer than asked, or none.

    Args:
        same: the node of the event that triggered the fault, for `select: {same: true}`.
    """
    if select.same:
        return [node.name for node in candidates if node.name == same]
    fit = [node.name for node in candidates if _fits(select, node)]
    wanted = _wanted(select, len(fit))
    chosen = frozenset(rng.sample(range(len(fit)), min(wanted, len(fit))))
    return [name for index, name in enumerate(fit) if index in chosen]


def _fits(select: Select, node: Candidate) -> bool:
    if select.names is not None:
        if node.name not in select.names:
            return False
    elif not node.healthy:
        return False
    groups, statuses = select.groups, select.statuses
    return (groups is None or node.group in groups) and (statuses is None or node.status in statuses)


def _wanted(select: Select, available: int) -> int:
    if select.fraction is not None:
        return max(1, round(select.fraction * available))
    if select.count == "all" or (select.count is None and select.names is not None):
        return available
    return select.count if isinstance(select.count, int) else 1
