"""A board's flash: which files are on it, and the folder that stands for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

_LINKED = {".py", ".mpy"}


class FirmwareError(ValueError):
    """The firmware as given cannot be put on a board; the message names file or setting."""


def product() -> Path:
    """The folder with dcompute's own firmware: in a checkout, or as the wheel carries it."""
    sim = Path(str(resources.files("sim")))
    for folder in (sim.parent / "firmware", sim / "_data" / "firmware"):
        if (folder / "package.json").is_file():
            return folder
    raise FirmwareError(f"dcompute's firmware is neither beside {sim} nor in it: a broken installation?")


def write(files: Sequence[Path], config: Mapping[str, Any], root: Path) -> None:
    """Lay out `files` and a `config.py` under `root`.

    Sources are linked, so that hundreds of boards share one copy; anything else is copied, since firmware may
    write to it.
    """
    for target, source in layout(files).items():
        place = root / target
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix in _LINKED:
            place.symlink_to(source.resolve())
        else:
            shutil.copy(source, place)
    if config:
        written = root / "config.py"
        written.unlink(missing_ok=True)
        written.write_text("".join(f"{name} = {value!r}\n" for name, value in config.items()))


def layout(files: Sequence[Path]) -> dict[str, Path]:
    """Name on the flash -> source, for folders and single files; later ones win."""
    placed: dict[str, Path] = {}
    for given in files:
        if (given / "package.json").is_file():
            placed |= _packaged(given)
        elif given.is_dir():
            placed |= _folder(given)
        elif given.is_file():
            placed[given.name] = given
        else:
            raise FirmwareError(f"firmware {given}: no such file or folder")
    return placed


def _folder(folder: Path) -> dict[str, Path]:
    sources = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(p.relative_to(folder)): p for p in sources if "__pycache__" not in p.parts}


def _packaged(folder: Path) -> dict[str, Path]:
    """What `mip install` of the folder would put on a board: the `urls` of its package.json."""
    description = folder / "package.json"
    try:
        urls = json.loads(description.read_text())["urls"]
        placed = {str(target): _source(folder, str(url)) for target, url in urls}
    except (ValueError, KeyError, TypeError) as error:
        raise FirmwareError(f"firmware {description}: not as `mip` wants it ({error!r})") from None
    missing = [str(source) for source in placed.values() if not source.is_file()]
    if missing:
        raise FirmwareError(f"firmware {description}: no such file: {', '.join(missing)}")
    return placed


def _source(folder: Path, url: str) -> Path:
    """The file an entry names. In the wheel, the node core lies in the installed package, not beside it."""
    source = folder / url
    if not source.is_file() and url.startswith("../dcompute/"):
        return Path(str(resources.files("dcompute"))) / url.removeprefix("../dcompute/")
    return source
