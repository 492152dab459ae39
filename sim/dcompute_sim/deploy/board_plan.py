"""What has to change on a board's flash, and in which order: decided from a survey, touching nothing.

Nothing that the board may boot from is written to. The version goes into the slot that is not in use, its
version.json last; then one rename switches. A power cut before it leaves the old version, after it the new.
"""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass

from dcompute.bundle import Bundle, file_digest
from dcompute_sim.deploy.probe import Probe, Survey
from dcompute_sim.deploy.slots import (
    FLAT,
    LAUNCHER_PATH,
    MAIN_BEFORE_FILE,
    NONE,
    SLOTS,
    TRIES,
    Launcher,
    SlotLine,
    finishes,
    is_launcher,
)

_SPARE_BLOCKS = 4  # for slot.new and the filesystem's own bookkeeping
_FOLDER_BLOCKS = 2


@dataclass(frozen=True)
class BoardPlan:
    """What to do to one board.

    Attributes:
        slot: the folder that the version goes to, or is in already.
        keep: its files that are right as they are.
        duplicate: (path in the slot, absolute path elsewhere on the flash with the same contents).
        send: paths to be sent over the line.
        remove: files in the slot that do not belong there.
        withdraw: the version on trial sits in that slot: first make the proven one current.
        write_manifest: version.json is not there yet.
        save_main: there is a program in the root, to be kept as main_before.py.
        save_boot: there is a boot.py that never ends, to be kept as boot_before.py.
        install_launcher, install_boot: main.py with its launcher / boot.py of the root are to be replaced.
        add_to_boot: what is to be added to the boot.py that stays; b"": nothing.
        line: what `/slot` is to say; None: it stays.
        bytes_needed: on the flash, at most.
    """

    slot: str
    keep: tuple[str, ...]
    duplicate: tuple[tuple[str, str], ...]
    send: tuple[str, ...]
    remove: tuple[str, ...]
    withdraw: SlotLine | None
    write_manifest: bool
    save_main: bool
    save_boot: bool
    install_launcher: bool
    install_boot: bool
    add_to_boot: bytes
    line: SlotLine | None
    bytes_needed: int

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.line or self.install_launcher or self.install_boot or self.add_to_boot)

    def describe(self) -> str:
        """Say it in a few words, for people."""
        if not self.changes:
            return "nothing to copy"
        local = len(self.keep) + len(self.duplicate)
        parts = [f"{len(self.send)} file{'' if len(self.send) == 1 else 's'} to slot {self.slot}"]
        if local:
            parts.append(f"{local} there already")
        if self.install_launcher:
            parts.append("launcher")
        if self.add_to_boot:
            parts.append("boot.py gets lines that FAT needs")
        if self.save_boot:
            parts.append("boot.py, which never ends, becomes boot_before.py")
        return ", ".join(parts)


def make_plan(
    bundle: Bundle, launcher: Launcher, boot: bytes, seen: Survey, board: Probe, boot_ends: bool = True
) -> BoardPlan:
    """Tell how to bring `bundle` onto the board that was surveyed.

    `boot_ends`: its boot.py came to its end when the board was started; else main.py would never run.
    """
    manifest = json.loads(bundle.manifest())
    wanted: dict[str, str] = manifest["files"]
    has_launcher = is_launcher(seen.main)
    now = running(seen) if has_launcher else SlotLine(FLAT if seen.main is not None else NONE)
    slot, withdraw = choose_slot(now, seen, manifest)
    inside = seen.slot_files(slot)
    keep = tuple(path for path in wanted if inside.get(path) == wanted[path])
    elsewhere = {file.digest: path for path, file in seen.files.items() if not path.startswith(f"/{slot}/")}
    missing = [path for path in wanted if path not in keep]
    duplicate = tuple((path, elsewhere[wanted[path]]) for path in missing if wanted[path] in elsewhere)
    local = dict(duplicate)
    send = tuple(path for path in missing if path not in local)
    write_manifest = not _holds(seen, slot, manifest)
    unchanged = has_launcher and now.current == slot and not now.on_trial and not write_manifest
    install_boot = _is_ours_to_replace(seen.boot, boot) or not boot_ends
    adds = board.fat and not install_boot and not finishes(seen.boot or b"")
    proven = now.proven if now.proven != slot else NONE
    return BoardPlan(
        slot,
        keep,
        duplicate,
        send,
        tuple(path for path in inside if path not in wanted),
        withdraw,
        write_manifest,
        save_main=not has_launcher and seen.main is not None,
        install_launcher=not _has(seen, launcher),
        save_boot=not boot_ends and seen.boot is not None,
        install_boot=install_boot,
        add_to_boot=launcher.finishing if adds else b"",
        line=None if unchanged else SlotLine(slot, proven, TRIES if proven != NONE else 0),
        bytes_needed=_bytes_needed(bundle, missing, launcher, seen, board, new_slot=not inside),
    )


def _has(seen: Survey, launcher: Launcher) -> bool:
    module = seen.files.get(LAUNCHER_PATH)
    return seen.main == launcher.main and module is not None and module.digest == file_digest(launcher.module)


def _holds(seen: Survey, slot: str, manifest: dict[str, object]) -> bool:
    """Say whether the slot is whole and just this version."""
    there = seen.manifests.get(slot, {})
    return seen.is_whole(slot) and {**there, "release": 0} == {**manifest, "release": 0}  # packed again


def running(seen: Survey) -> SlotLine:
    """Return what the launcher on this flash starts; it decides likewise."""
    there = [*(slot for slot in SLOTS if slot in seen.manifests)]
    if MAIN_BEFORE_FILE in seen.files:
        there.append(FLAT)
    line = seen.slot_line
    if line is not None and line.current in there:
        return line
    if line is not None and line.fallback in there:
        return SlotLine(line.fallback)
    return SlotLine(there[0] if there else NONE)


def line_back(seen: Survey) -> SlotLine | None:
    """Return what `/slot` must say for the board to go back to what it ran before; None if it holds nothing
    else."""
    if not is_launcher(seen.main):
        return None
    now = running(seen)
    if now.on_trial:
        return SlotLine(now.fallback)
    for slot in SLOTS:
        if slot != now.current and seen.is_whole(slot):
            return SlotLine(slot)
    return SlotLine(FLAT) if now.current != FLAT and MAIN_BEFORE_FILE in seen.files else None


def choose_slot(now: SlotLine, seen: Survey, manifest: dict[str, object]) -> tuple[str, SlotLine | None]:
    """Return the slot to use, and what `/slot` must say before it is written to."""
    if now.current in SLOTS and _holds(seen, now.current, manifest):
        return now.current, None  # it is there; nothing will be written
    for slot in SLOTS:
        if slot not in (now.current, now.fallback):
            return slot, None
    return now.current, SlotLine(now.fallback)  # the version on trial makes room


def _is_ours_to_replace(found: bytes | None, ours: bytes) -> bool:
    """Say whether a boot.py may be replaced: one with statements of somebody else's stays; MicroPython's own
    has none."""
    if found is None:
        return True
    if found == ours:
        return False
    if found.splitlines()[:1] == ours.splitlines()[:1]:
        return True
    try:
        return not ast.parse(found).body
    except (SyntaxError, ValueError):
        return False


def _bytes_needed(
    bundle: Bundle, missing: list[str], launcher: Launcher, seen: Survey, board: Probe, new_slot: bool
) -> int:
    def blocks(size_bytes: int) -> int:
        return -(-size_bytes // board.block_bytes)

    inside = {path.rpartition("/")[0] for path in bundle.files}
    needed = sum(blocks(len(bundle.files[path])) for path in missing)
    needed += blocks(len(bundle.manifest())) + _SPARE_BLOCKS
    if new_slot:
        needed += _FOLDER_BLOCKS * len(inside)
    if not _has(seen, launcher):
        needed += blocks(len(launcher.main)) + blocks(len(launcher.module))
        needed += blocks(len(seen.main)) if seen.main is not None and not is_launcher(seen.main) else 0
    return needed * board.block_bytes
