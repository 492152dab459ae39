"""Updates over the air in a scenario: which boards get which version when, and whether it is a good one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dcompute.protocol import PATIENCE_S
from dcompute_sim.faults.schedule import Select
from dcompute_sim.yamlfile.units import Duration, Fraction
from dcompute_sim.yamlfile.yaml_model import Flag, ListEntry, Model, Text

Broken = Literal["crash", "hang", "mute", "no-wifi", "no-main", "escape", "too-large", "longer", "altered"]


class Rollout(Model):
    """How a version spreads: canaries first, then in waves, as with `dcompute update --canaries --wave`."""

    canaries: Annotated[int, Field(ge=0)] | list[Text] = Field(
        default=1, description="Boards before all others: how many, or their names."
    )
    wave: Fraction = Field(default=0.1, description="Boards a wave, as a share of all.")
    pause: Duration = Field(default=60.0, description="Between the end of one wave and the next.")
    abort: Fraction = Field(
        default=0.1, description="When more of the boards that took the version do not run it, it is aborted."
    )
    tries: Annotated[int, Field(ge=1)] = Field(
        default=2, description="Tries of a board that does not answer."
    )
    back: Flag = Field(
        default=True, description="After an abort the boards that run the version go back to the one before."
    )


class Update(ListEntry):
    """A version of the firmware, offered by the master over MQTT to boards of groups with `layout: slots`."""

    at: Duration = Field(description="When the master begins with it.")
    version: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        description="Its name. Boards start with `v1`."
    )
    select: Select = Field(
        default=Select(count="all"), description="Which boards, running or not; all when left out."
    )
    bundle: Text | None = Field(
        default=None,
        description="Folder with the program, relative to this file; our firmware when left out.",
    )
    broken: Broken | None = Field(
        default=None,
        description="What is wrong with it: its program raises (`crash`), stands still (`hang`), connects "
        "but never says that it is ready (`mute`) or finds no Wi-Fi (`no-wifi`); the boards must go back to "
        "the version before. Or its package, rightly signed all the same: it has no program (`no-main`), a "
        "path out of its slot (`escape`), or no room on any flash (`too-large`), which boards must refuse; a "
        "file is `longer` than all should be, or not the one that was signed (`altered`), at which they must "
        "give it up.",
    )
    broken_share: Fraction = Field(
        default=1.0,
        description="Of the boards, on so many (chosen by their ids) the broken version is broken.",
    )
    campaign: Rollout | None = Field(
        default=None,
        description="Brings the version to its boards in waves. Left out: to all at once. A master that "
        "crashes meanwhile goes on from what it had written down.",
    )
    signed: Literal["right", "wrong"] = Field(
        default="right",
        description="With the boards' own keys, or with those of another secret: then no board may take it.",
    )
    release: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="What orders versions. Boards start with 1; left out, each update of this list has one "
        "more than the one before. A board that runs a higher one, or this one, must not take it.",
    )
    patience: Annotated[Duration, Field(gt=0)] = Field(
        default=PATIENCE_S, description="How long nothing may move before it counts as failed on a board."
    )
    confirm: Annotated[Duration, Field(ge=10, le=3600)] = Field(
        default=60.0, description="How long a board gives the version to get ready."
    )
