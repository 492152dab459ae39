"""Which files a program of a board has: from folders, packages and single files to names on the flash."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dcompute.bundle import BadBundle, packaged, product_folder
from dcompute_sim.fwbuild.build_errors import FirmwareError

OLDEST_MICROPYTHON = (1, 22)
"""The oldest version that dcompute's firmware runs on."""


def product() -> Path:
    """The folder with dcompute's own firmware: in a checkout, or as the wheel carries it."""
    try:
        return product_folder()
    except BadBundle as error:
        raise FirmwareError(str(error)) from None


def layout(files: Sequence[Path]) -> dict[str, Path]:
    """Name on the flash -> source, for folders and single files; later ones win."""
    placed: dict[str, Path] = {}
    for given in files:
        if (given / "package.json").is_file():
            try:
                placed |= packaged(given)
            except BadBundle as error:
                raise FirmwareError(str(error)) from None
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
