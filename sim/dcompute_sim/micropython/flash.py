"""A board's flash: its files laid out in the folder that stands for it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from dcompute.bundle import LAUNCHER, NOT_IN_A_SLOT, UPDATE_KEY_FILE, VERSION_FILE, BadBundle, Bundle
from dcompute_sim.fwbuild.build_errors import FirmwareError
from dcompute_sim.fwbuild.firmware_files import layout, product
from dcompute_sim.scenario.own_config import merged

_LINKED = {".py", ".mpy"}
NOTHING: Mapping[str, bytes] = {}


def write(
    files: Sequence[Path], config: Mapping[str, object], root: Path, overlay: Mapping[str, bytes] = NOTHING
) -> None:
    """Lay out `files` and a `config.py` under `root`; what `overlay` names takes its place.

    Sources are linked, so that hundreds of boards share one copy; anything else is copied, since firmware may
    write to it.
    """
    placed = layout(files)
    for target, source in placed.items():
        _place(source, root, target, overlay.get(target))
    _write_config(config, root, placed.get("config.py"))


def write_slots(
    files: Sequence[Path],
    config: Mapping[str, object],
    root: Path,
    version: str = "",
    overlay: Mapping[str, bytes] = NOTHING,
    *,
    release: int = 0,
    update_key: bytes = b"",
) -> None:
    """Lay out `files` as a deployed version in slot a, started by the launcher."""
    placed = layout(files)
    slot = {target: source for target, source in placed.items() if target not in NOT_IN_A_SLOT}
    try:
        files_of_slot = {name: overlay.get(name) or source.read_bytes() for name, source in slot.items()}
        bundle = Bundle(version, files_of_slot, release=release)
    except BadBundle as error:
        raise FirmwareError(f"firmware {', '.join(map(str, files))}: {error}") from None
    for target, source in slot.items():
        _place(source, root, f"a/{target}", overlay.get(target))
    if "boot.py" in placed:
        _place(placed["boot.py"], root, "boot.py", overlay.get("boot.py"))
    _write_config(config, root / "a", placed.get("config.py"))
    (root / "a" / VERSION_FILE).write_bytes(bundle.manifest())
    for ours, place in LAUNCHER.items():
        _place(product() / ours, root, place)
    if update_key:
        (root / UPDATE_KEY_FILE).write_bytes(update_key)
    (root / "slot").write_text("a - 0\n")


def _place(source: Path, root: Path, target: str, instead: bytes | None = None) -> None:
    place = root / target
    if "/" in target:
        place.parent.mkdir(parents=True, exist_ok=True)
    if instead is not None:
        place.write_bytes(instead)
    elif source.suffix in _LINKED:
        place.symlink_to(source.absolute())
    else:
        shutil.copy(source, place)


def _write_config(config: Mapping[str, object], folder: Path, own: Path | None) -> None:
    """Write the settings after what the program's `own` config.py says."""
    if config:
        written = folder / "config.py"
        written.unlink(missing_ok=True)
        settings = "".join(f"{name} = {value!r}\n" for name, value in config.items())
        written.write_text(merged(own.read_text() if own is not None else "", settings))
