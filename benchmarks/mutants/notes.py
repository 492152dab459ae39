"""What became of each mutant, kept between runs: a run that was cut short is taken up where it stood.

A note counts only for the very change and the very tree that it was made of; of another tree it is a hint:
what noticed a mutant yesterday is tried first today.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from threading import Lock

from dcompute_sim.whole_file import write_whole

from benchmarks.mutants.catalogue import ROOT, SourceMutant

FILE = ROOT / "runs" / "mutants.json"
_JUDGED_BY = ("dcompute", "firmware", "sim/dcompute_sim", "scenarios", "benchmarks/mutants")
_CATALOGUES = ("dcompute.yaml", "delivery.yaml", "firmware.yaml")  # other mutants say nothing of this one


@dataclass(frozen=True)
class Note:
    """What became of a mutant (or, without one, of a trial).

    Attributes:
        key: of which change, trials and tree this is said.
        caught_by: the trial that noticed it; None if none did.
        why: what the trial said of it.
        seconds: how long it took.
        endless: the trial that came to no verdict, if none noticed it.
    """

    key: str
    caught_by: str | None
    why: str
    seconds: float
    endless: str | None = None


class Notes:
    """The notes of a file, which is written anew with each; a file that is none of ours counts as empty."""

    def __init__(self, path: Path = FILE) -> None:
        self._path = path
        self._lock = Lock()
        self._notes: dict[str, Note] = {}
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            self._notes = {name: Note(**fields) for name, fields in kept.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            pass

    def get(self, name: str, key: str) -> Note | None:
        """What was noted under this name, if nothing has changed since."""
        note = self._notes.get(name)
        return note if note is not None and note.key == key else None

    def hint(self, name: str) -> str | None:
        """What noticed it last, in whatever tree."""
        note = self._notes.get(name)
        return note.caught_by if note is not None else None

    def put(self, name: str, note: Note) -> None:
        """Keep it, in the file too."""
        with self._lock:
            self._notes[name] = note
            self._path.parent.mkdir(exist_ok=True)
            text = json.dumps({each: asdict(of) for each, of in sorted(self._notes.items())}, indent=1)
            write_whole(self._path, text.encode())


def key_of(mutant: SourceMutant | None, trials: Iterable[str]) -> str:
    """Name the change (None: none), the trials, and all that has a part in the judgement."""
    edit = [mutant.edit.file, mutant.edit.old, mutant.edit.new] if mutant is not None else []
    return sha256("\0".join([*edit, *trials, _tree()]).encode()).hexdigest()[:24]


@cache
def _tree() -> str:
    whole = sha256()
    for folder in _JUDGED_BY:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".yaml") and path.name not in _CATALOGUES:
                whole.update(f"{path.relative_to(ROOT)}\0".encode())
                whole.update(path.read_bytes())
    return whole.hexdigest()
