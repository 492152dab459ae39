"""Updates over the air in a scenario: which boards get which version when, and whether it is a good one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dcompute_sim.faults.schedule import Select
from dcompute_sim.yamlfile.units import Duration
from dcompute_sim.yamlfile.yaml_model import ListEntry, Text

Broken = Literal["crash", "hang", "no-wifi"]


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
        description="What is wrong with it: its program raises (`crash`), stands still (`hang`) or finds no "
        "Wi-Fi (`no-wifi`). The boards must go back to the version before.",
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
    confirm: Annotated[Duration, Field(ge=10, le=3600)] = Field(
        default=60.0, description="How long a board gives the version to get ready."
    )
