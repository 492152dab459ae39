"""A power cut at every write boundary of a deploy and within every write: the board boots and reports.

One deploy is recorded. Then a board boots on every state in which a cut could have left the flash, and the
broker must hear it say `ready`, with the old version or the new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.deploy import board_plan as plan
from dcompute_sim.virtual_boards.flash_log import Cut, FlashState, load, read, states

from .boots import DEAD, SIDE_BY_SIDE, Boots
from .conftest import Command, Desk


def versions(boots: Boots, flashes: Sequence[tuple[Cut, FlashState]]) -> list[tuple[Cut, str]]:
    """What a board comes up with after each cut."""
    found = boots.versions([flash for _, flash in flashes])
    return [(cut, version) for (cut, _), version in zip(flashes, found, strict=True)]


def record(
    desk: Desk, command: Command, root: Path, version: str, *more: Any
) -> list[tuple[Cut, FlashState]]:
    """Every flash that a power cut could leave while this version is deployed."""
    before, log = load(root), desk.folder / f"{version}.log"
    board = desk.plug_in(root, flash_log=log)
    desk.until(lambda: not board.idle)
    command("--port", board.address, "--compile", "--version", version, *more)
    desk.unplug_all()
    return list(states(read(log), before))


def test_the_first_deploy_onto_a_flat_board(desk: Desk, command: Command, boots: Boots, flat: Path) -> None:
    flashes = record(desk, command, desk.root("flash", flat), "one")
    found = versions(boots, flashes)
    assert [(cut, version) for cut, version in found if version not in ("None", "one")] == []
    assert (found[0][1], found[-1][1]) == ("None", "one")


def test_a_new_version_in_place_of_an_old_one(
    desk: Desk, command: Command, boots: Boots, slots: Path
) -> None:
    own = desk.folder / "tasks.py"
    own.write_text("def handle(task):\n    return 'mine'\n")
    flashes = record(desk, command, desk.root("flash", slots), "two", "--file", own)
    found = versions(boots, flashes)
    assert [(cut, version) for cut, version in found if version not in ("one", "two")] == []
    assert (found[0][1], found[-1][1]) == ("one", "two")


def test_written_in_place_a_cut_would_leave_dead_boards(
    desk: Desk, command: Command, boots: Boots, slots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the two tests above would show if the version went into the slot that boots."""
    monkeypatch.setattr(plan, "choose_slot", lambda now, seen, manifest: (now.current, None))
    own = desk.folder / "tasks.py"
    own.write_text("def handle(task):\n    return 'mine'\n")
    root = desk.root("flash", slots)
    (root / "main_before.py").unlink()  # else the board would be saved by that
    flashes = record(desk, command, root, "two", "--file", own)
    within_writes = [(cut, flash) for cut, flash in flashes if cut.bytes]
    some = range(0, len(within_writes), SIDE_BY_SIDE)
    booted = (versions(boots, within_writes[first : first + SIDE_BY_SIDE]) for first in some)
    assert any(version == DEAD for found in booted for _, version in found)
