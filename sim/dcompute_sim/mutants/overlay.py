"""Our firmware's files, changed by mutants, as they take the place of the originals on an emulated board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from dcompute.parts import number_of
from dcompute_sim.mutants.catalogue import MUTANTS, Edit, MutantError


@cache
def overlay(names: tuple[str, ...], firmware: Path) -> Mapping[str, bytes]:
    """Return the changed files by their name on the board. MutantError when an edit does not fit
    `firmware`."""
    edits = [edit for name in names for edit in MUTANTS[name].edits]
    if not edits:
        return {}
    from dcompute_sim.fwbuild.firmware_files import layout  # here: most runs have no boards

    sources = layout([firmware])
    texts = {edit.file: "" for edit in edits}
    for file in texts:
        if file not in sources:
            raise MutantError(f"mutants {', '.join(names)}: our firmware has no file {file}")
        texts[file] = sources[file].read_text(encoding="utf-8")
    return {file: data.encode() for file, data in changed(texts, edits).items()}


def changed(texts: Mapping[str, str], edits: Sequence[Edit]) -> dict[str, str]:
    """Return `texts` by file name, with every edit made. MutantError for one that fits nowhere, or in several
    places."""
    result = dict(texts)
    for edit in edits:
        count = result[edit.file].count(edit.old)
        if count != 1:
            raise MutantError(
                f"{edit.file} has changed: what a mutant replaces is there {number_of(count, 'time')}, "
                f"not once:\n{edit.old}"
            )
        result[edit.file] = result[edit.file].replace(edit.old, edit.new)
    return result
