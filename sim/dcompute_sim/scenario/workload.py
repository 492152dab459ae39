"""What work is given out: streams of tasks, their pace, priorities, sizes and addressees."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from dcompute_sim.faults.schedule import When
from dcompute_sim.yamlfile.units import Duration, Rate, Size
from dcompute_sim.yamlfile.yaml_model import (
    Count,
    Flag,
    ListEntry,
    Model,
    ShortModel,
    Text,
    exactly_one,
    wrong,
)

PICKS = ("any", "random", "least_busy", "round_robin", "all")
Weight = Annotated[float, Field(gt=0, le=1e6)]


class Priority(ShortModel):
    """10 is the highest. A number, a range `1..10`, or weights: `{10: 1, 5: 3, 1: 6}`."""

    short_schema: ClassVar[dict[str, object]] = {
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": 10},
            {"type": "string", "pattern": r"^([1-9]|10) ?\.\. ?([1-9]|10)$"},
            {
                "type": "object",
                "propertyNames": {"pattern": "^([1-9]|10)$"},
                "additionalProperties": {"type": "number", "exclusiveMinimum": 0},
                "minProperties": 1,
            },
        ]
    }

    weights: dict[int, Weight] = Field(description="How often each priority is drawn.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        if isinstance(value, Priority):
            return value
        if isinstance(value, dict) and set(value) == {"weights"}:
            value = value["weights"]
        return {"weights": _weights(value)}

    def short(self) -> object:
        levels = sorted(self.weights)
        even = len(set(self.weights.values())) == 1
        if even and levels == list(range(levels[0], levels[-1] + 1)):
            return levels[0] if len(levels) == 1 else f"{levels[0]}..{levels[-1]}"
        return {level: int(w) if w == int(w) else w for level, w in self.weights.items()}

    def draw(self, rng: random.Random) -> int:
        """Draw one priority."""
        if len(self.weights) == 1:
            return next(iter(self.weights))
        return rng.choices(list(self.weights), list(self.weights.values()))[0]


def _weights(value: object) -> dict[int, object]:
    if isinstance(value, int) and not isinstance(value, bool):
        return {_level(value): 1.0}
    if isinstance(value, str) and ".." in value:
        low, _, high = value.partition("..")
        if low.strip().isdecimal() and high.strip().isdecimal() and _level(low) <= _level(high):
            return dict.fromkeys(range(_level(low), _level(high) + 1), 1.0)
    if isinstance(value, dict) and value:
        return {_level(key): weight for key, weight in value.items()}
    raise wrong("a priority is a number 1 to 10, a range `1..10`, or weights `{10: 1, 5: 3, 1: 6}`")


def _level(value: object) -> int:
    """Return a priority level from an int or from the text of one (JSON has no other keys)."""
    text = str(value).strip()
    if isinstance(value, bool) or not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= 10):
        raise wrong(f"`{text[:40]}` is not a priority: 1 (lowest) to 10 (highest)")
    return int(text)


class TaskTarget(ShortModel):
    """Where a task may go: `any` node, `all` (one for each), `{node: esp-3}` or `{group: esp}`.

    An executor chooses among those by itself. With `via: transport` the program chooses: `random` (as with
    `any`), `round_robin`, or `least_busy`, which is the node with the fewest unfinished tasks, and of several
    such the one whose last task was given longest ago; also of a group, `{group: esp, pick: least_busy}`."""

    short_schema: ClassVar[dict[str, object]] = {"enum": list(PICKS)}

    pick: Literal["any", "random", "least_busy", "round_robin", "all"] = Field(
        default="any", description="How to choose among all nodes, or those of the group."
    )
    node: Text | None = Field(default=None, description="This node.")
    group: Text | None = Field(default=None, description="A node of this group.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value not in PICKS:
            names = ", ".join(f"`{pick}`" for pick in PICKS)
            raise wrong(f"`{value[:40]}` is not a target: {names}, `{{node: NAME}}` or `{{group: NAME}}`")
        return {"pick": value}

    def short(self) -> object:
        return self.pick if self.node is None and self.group is None else None

    @model_validator(mode="after")
    def _one(self) -> TaskTarget:
        if self.node is not None and self.group is not None:
            raise wrong("a target is either a `node` or a `group`, not both")
        if self.node is not None and self.pick != "any":
            raise wrong("`pick` chooses within a group; a single `node` leaves nothing to choose")
        return self


class Outstanding(Model):
    """How many tasks of the stream may be unfinished at a time."""

    outstanding: Count = Field(description="How many at a time.")


class Loop(ShortModel):
    """`open`: tasks come at their own pace. `{closed: {outstanding: 8}}`: the next one waits for a result."""

    short_schema: ClassVar[dict[str, object]] = {"const": "open"}

    closed: Outstanding | None = Field(default=None, description="The next waits for a result.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        if isinstance(value, str):
            if value != "open":
                raise wrong("a loop is `open` or `{closed: {outstanding: 8}}`")
            return {}
        return value

    def short(self) -> object:
        return "open" if self.closed is None else None


class TaskStream(ListEntry):
    """Tasks with a common pace.

    `tasks` alone: all at once. `rate`: evenly, or `arrivals: poisson`. `burst`: so many, `every` so often.
    A closed loop sends the next when a result is back. Each needs an end: `tasks`, `until` or `phase`.
    """

    tasks: Count | None = Field(default=None, description="How many in all.")
    rate: Rate | None = Field(default=None, description="How many per time.")
    arrivals: Literal["even", "poisson"] = Field(default="even", description="How a `rate` is spread.")
    burst: Count | None = Field(default=None, description="How many at once, each `every`.")
    every: Duration | None = Field(default=None, description="Time between bursts.")
    at: Duration | None = Field(
        default=None, description="When the stream starts; with `phase`, counted from that phase's start."
    )
    until: Duration | None = Field(default=None, description="When it ends at the latest; counted like `at`.")
    phase: Text | None = Field(default=None, description="The stream belongs to this phase and ends with it.")
    when: When | None = Field(default=None, description="The stream starts when this has happened.")
    priority: Priority = Field(default=Priority(weights={5: 1.0}), description="Of each task; 10 is highest.")
    payload: Size | None = Field(default=None, description="Tasks are filled up to this size.")
    target: TaskTarget = Field(default=TaskTarget(), description="Where each task may go.")
    via: Literal["executor", "transport"] = Field(
        default="executor",
        description="executor: done once, whatever dies on the way (docs/executor.md). transport: each is "
        "given to a node by `send_task`, once; what is lost is lost.",
    )
    again_after: Duration | None = Field(
        default=None,
        description="With `via: transport`: a task without a result is given to a node again after this "
        "long, as the next attempt, chosen anew; and so on until it has one.",
    )
    master: Text = Field(default="master", description="Whose executor: `master`, or one of `masters`.")
    retries: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="How often a task is tried again that failed, or lost its node. Left out: never after a "
        "failure, and after losses until it is quarantined.",
    )
    timeout: Duration | None = Field(
        default=None, description="A result is of no use after this long; the task then expires."
    )
    once: Flag = Field(
        default=False,
        description="Run at most once, whatever happens; where nobody knows it ends as unknown.",
    )
    cancel_after: Duration | None = Field(
        default=None,
        description="The asker does not want it any more this long after it has asked, and cancels what is "
        "not over. One that is to run once and is at work has the end that its node tells.",
    )
    speculate: Duration | None = Field(
        default=None,
        description="A task that is not over this long after it was sent is tried on another node as well; "
        "the first result counts. Not with `once`.",
    )
    loop: Loop = Field(default=Loop(), description="Whether results set the pace.")
    task: dict[str, object] | None = Field(default=None, description="The task's own fields, any JSON.")
    answer: object = Field(
        default=None,
        description="The result's value that answers each of these tasks, any JSON: for programs of somebody "
        "else. What our own nodes are to answer is known.",
    )

    @property
    def outstanding(self) -> int | None:
        """The limit of a closed loop; None for an open one."""
        return self.loop.closed.outstanding if self.loop.closed else None

    @model_validator(mode="before")
    @classmethod
    def _start_alias(cls, value: object) -> object:
        if isinstance(value, dict) and "start" in value:
            if "at" in value:
                raise wrong("`start` is another word for `at`: give one of them")
            return {("at" if key == "start" else key): entry for key, entry in value.items()}
        return value

    @model_validator(mode="after")
    def _pace(self) -> TaskStream:
        if self.outstanding is None:
            if self.rate is None and self.burst is None:
                if self.tasks is None:
                    raise wrong("a stream needs a pace: `tasks`, `rate`, or `burst` with `every`")
            else:
                exactly_one(self, "rate", "burst")
        elif self.rate is not None or self.burst is not None:
            raise wrong("in a closed loop the results set the pace: leave out `rate` and `burst`")
        if (self.burst is None) != (self.every is None):
            raise wrong("`burst` and `every` go together: `burst: 10` with `every: 5s`")
        if self.every is not None and self.every <= 0:
            raise wrong("`every` must be longer than 0s")
        if self.rate is not None and self.rate <= 0:
            raise wrong("`rate` must be more than 0/s")
        if self.arrivals == "poisson" and self.rate is None:
            raise wrong("`arrivals` spreads a `rate`, and there is none")
        if self.when is not None and self.at is not None:
            raise wrong("a stream starts `at` a time or `when` something happened, not both")
        if self.when is not None and self.phase is not None:
            raise wrong("a stream belongs to a `phase` or starts `when` something happened, not both")
        if self.when is not None and self.until is not None:
            raise wrong("nobody knows when this stream starts: end it with `tasks`, not `until`")
        if self.via == "transport":
            for key in ("retries", "timeout", "once", "cancel_after", "speculate"):
                if getattr(self, key) not in (None, False):
                    raise wrong(f"`{key}` is an executor's: `send_task` sends a task, and no more")
            if self.again_after is not None and self.again_after <= 0:
                raise wrong("`again_after` must be longer than 0s")
            if self.master != "master":
                raise wrong(f"`{self.master[:40]}` has an executor and nothing else: leave out `via`")
        elif self.again_after is not None:
            raise wrong("an executor sends again by itself (`resend`): `again_after` is for `via: transport`")
        if self.once and self.speculate is not None:
            raise wrong("a task that is to run `once` is not tried on two nodes: no `speculate`")
        if self.tasks is None and self.until is None and self.phase is None:
            raise wrong("this stream never ends: add `tasks`, `until` or `phase`")
        if self.until is not None and self.until <= (self.at or 0):
            raise wrong("`until` is not after the start")
        return self
