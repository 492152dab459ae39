"""What a mutant is, which there are, and whom each can reach.

A mutant is made of classes and edits. A class is a mixin over the production class that it changes: those of
nodes reach python nodes, those of masters the master. An `Edit` changes one place of one file of our
firmware, and reaches emulated boards that run it: the file is changed in the copy that is laid out on the
board's flash, nowhere else. A real board runs what was deployed to it, and somebody else's firmware has other
files: nothing reaches either.

Why text and not, say, a patched syntax tree: an edit is to be read beside the line that it changes. It must
match exactly once; where it does not, the firmware has changed under it, and both a test and whoever asks for
the mutant are told. It never silently does nothing.

What reaches nobody is refused before a run starts. A run with `no-will` on nodes that it does not reach would
hold, and would seem to say that the checks are blind, or worse, that what it takes away is not needed.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dcompute.executor.core import FleetCore
from dcompute.master_transport import MasterNodeTransport
from dcompute.node_core import NodeCore, TaskQueue
from dcompute.node_transport import ComputeNodeTransport
from dcompute.parts import MqttLink, Registry

PYTHON, FIRMWARE, BOARD, FOREIGN, MASTER = "python", "firmware", "board", "foreign firmware", "master"
KINDS = {
    PYTHON: "python nodes",
    FIRMWARE: "emulated boards with our firmware",
    BOARD: "boards on serial ports",
    FOREIGN: "boards with firmware of their own",
    MASTER: "the master",
}
"""The kinds of participant, as mutants see them, in words."""

_PARTS_OF = {
    PYTHON: (ComputeNodeTransport, NodeCore, TaskQueue, MqttLink),
    MASTER: (MasterNodeTransport, Registry, FleetCore),
}


@dataclass(frozen=True, slots=True)
class Edit:
    """One small change of our firmware's source.

    Attributes:
        file: its name on the board, such as `link.py` or `dcompute/node_core.py`.
        old: what stands there; exactly once in the file.
        new: what takes its place.
    """

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A participant with a known fault. `about`: what is wrong, in a sentence."""

    name: str
    about: str
    classes: tuple[type[Any], ...] = ()
    edits: tuple[Edit, ...] = ()

    @property
    def reaches(self) -> frozenset[str]:
        """The kinds of participant that it changes, out of KINDS."""
        kinds = {kind for kind, parts in _PARTS_OF.items() if any(issubclass(c, parts) for c in self.classes)}
        return frozenset(kinds | ({FIRMWARE} if self.edits else set()))


class MutantError(ValueError):
    """There is no such mutant, or it reaches nobody; the message says which would."""


class _Mutants(Mapping[str, Mutant]):
    """The mutants; their modules are imported when somebody asks for one, as most runs are of healthy
    programs."""

    def __init__(self) -> None:
        self.imported: dict[str, Mutant] = {}
        self._not_imported: list[str] = []

    def __getitem__(self, name: str) -> Mutant:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def discover(self, package: str, path: list[str]) -> None:
        """Find the modules of a package that may register some."""
        self._not_imported += sorted(f"{package}.{module.name}" for module in pkgutil.iter_modules(path))

    def _all(self) -> dict[str, Mutant]:
        while self._not_imported:
            importlib.import_module(self._not_imported.pop(0))
        return self.imported


MUTANTS = _Mutants()
"""Every mutant there is, by its name."""


def register(name: str, *parts: type[Any] | Edit, about: str = "") -> Mutant:
    """Make a mutant known.

    Args:
        name: for `--mutant` and `variant`.
        parts: mixins over production classes, and edits of our firmware.
        about: what is wrong with it; else the first class says it.

    Raises:
        ValueError: the name is taken, or the mutant changes nothing that it could reach.
    """
    classes = tuple(part for part in parts if not isinstance(part, Edit))
    edits = tuple(part for part in parts if isinstance(part, Edit))
    mutant = Mutant(name, about or (classes[0].__doc__ or "" if classes else "").strip(), classes, edits)
    if name in MUTANTS.imported:
        raise ValueError(f"there is a mutant {name!r} already")
    if not mutant.reaches or not mutant.about:
        raise ValueError(f"mutant {name!r} says nothing of what it changes")
    MUTANTS.imported[name] = mutant
    return mutant


def reaching(kind: str) -> list[str]:
    """Return the names of the mutants that reach this kind of participant."""
    return [mutant.name for mutant in MUTANTS.values() if kind in mutant.reaches]


def check_names(names: Sequence[str]) -> None:
    """Raise MutantError for a name that no mutant has."""
    for name in names:
        if name not in MUTANTS:
            raise MutantError(f"no mutant is called {name!r}; there are: {', '.join(MUTANTS)}")


def check_reach(names: Sequence[str], kinds: Collection[str], whose: str) -> None:
    """Raise MutantError for a mutant that changes none of the `kinds` of participant that `whose` says."""
    for name in names:
        reaches = MUTANTS[name].reaches
        if reaches.isdisjoint(kinds):
            changes = " and ".join(KINDS[kind] for kind in KINDS if kind in reaches)
            there = " and ".join(KINDS[kind] for kind in KINDS if kind in kinds)
            able = [other for kind in KINDS if kind in kinds for other in reaching(kind)]
            raise MutantError(
                f"mutant {name!r} reaches nobody here: it changes {changes}, and {whose} has {there}. "
                + (
                    f"These reach them: {', '.join(dict.fromkeys(able))}"
                    if able
                    else "No mutant reaches them."
                )
            )
