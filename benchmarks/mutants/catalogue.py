"""The catalogue: which mutants of production code there are; and a copy of it with one of them in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dcompute_sim.mutants import Edit
from dcompute_sim.mutants.overlay import changed
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent.parent
HERE = Path(__file__).parent
PARTS = {part: HERE / f"{part}.yaml" for part in ("dcompute", "delivery", "firmware")}
_COPIED = ("dcompute", "firmware")


@dataclass(frozen=True)
class SourceMutant:
    """One small named change of production code.

    Attributes:
        part: which catalogue it is from: those of `dcompute` are tried on python nodes, those of `firmware`
            on emulated boards.
        breaks: what is wrong then, in a sentence.
        edit: its file is relative to the project.
        caught_by: the trial that must notice it, as the arguments of `dcompute run`; None: none does.
        equivalent: why nobody can notice it; None if somebody can.
    """

    part: str
    name: str
    breaks: str
    edit: Edit
    caught_by: str | None = None
    equivalent: str | None = None


@cache
def catalogue(part: str) -> tuple[SourceMutant, ...]:
    """The mutants of `dcompute` or of `firmware`."""
    entries: list[dict[str, Any]] = YAML(typ="safe").load(PARTS[part].read_text(encoding="utf-8"))
    return tuple(
        SourceMutant(
            part,
            entry["name"],
            entry["breaks"],
            Edit(entry["file"], entry["old"], entry["new"]),
            entry.get("caught_by"),
            entry.get("equivalent"),
        )
        for entry in entries
    )


@contextmanager
def copy_with(mutant: SourceMutant | None) -> Iterator[Path]:
    """A copy of the production code with this mutant in it (None: without any), to be put on PYTHONPATH.

    Raises MutantError when the code has changed where the mutant would change it.
    """
    with TemporaryDirectory(prefix="dcompute-mutant-") as name:
        root = Path(name)
        for folder in _COPIED:
            shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
        if mutant is not None:
            target = root / mutant.edit.file
            target.write_text(mutated(mutant), encoding="utf-8")
        yield root


def mutated(mutant: SourceMutant) -> str:
    """The text of the mutant's file. MutantError when the code has changed under it."""
    edit = mutant.edit
    text = (ROOT / edit.file).read_text(encoding="utf-8")
    return changed({edit.file: text}, [edit])[edit.file]
