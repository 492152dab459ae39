"""Which files a program of a board has: from folders, packages and single files to names on the flash."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dcompute.bundle import BadBundle, all_files, packaged, product_folder
from dcompute_sim.fwbuild.build_errors import FirmwareError

OLDEST_MICROPYTHON = (1, 22)
"""The oldest version that dcompute's firmware runs on."""


def product() -> Path:
    """Return the folder with dcompute's own firmware: in a checkout, or as the wheel carries it."""
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
            placed |= all_files(given)
        elif given.is_file():
            placed[given.name] = given
        else:
            raise FirmwareError(f"firmware {given}: no such file or folder")
    return placed
