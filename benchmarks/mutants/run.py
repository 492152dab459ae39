"""Run the benchmark: judge the catalogue's mutants, several at a time, and print what became of each."""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from signal import SIGKILL
from threading import Lock

from ruamel.yaml import YAML

from benchmarks.mutants.catalogue import PARTS, ROOT, SourceMutant, catalogue, copy_with
from benchmarks.mutants.notes import Note, Notes, key_of
from benchmarks.mutants.trials import trials

TARGET = 0.97

PATIENCE_S = 400.0  # of the processors, for one trial: how loaded the machine is says nothing of a mutant;
# firmware ones that spin took 140 and 174 s of a slow machine until they were red
HANGING_S = 900.0  # of anybody's clock: what waits for ever takes no processor
LOOK_S = 1.0
_NOTICED = ("failed", "error")
_ENDLESS = "no verdict"


@dataclass(frozen=True)
class Judgement:
    """What became of a mutant. `caught_by` is None when nothing noticed it.

    `endless` is then the trial, if any, that came to no verdict: whoever runs it sees nothing red, ever, so
    it has not noticed; nor has the mutant survived it.
    """

    mutant: SourceMutant
    caught_by: str | None
    why: str
    seconds: float
    endless: str | None = None

    @property
    def in_words(self) -> str:
        """Whether it was caught, and by what."""
        if self.caught_by:
            return f"caught by {self.caught_by}"
        return f"NO VERDICT of {self.endless}" if self.endless else "SURVIVED"


def judge(
    mutant: SourceMutant, among: Sequence[str], is_sound: Callable[[str], bool] = lambda _: True
) -> Judgement:
    """Try a mutant until something notices it, in this order.

    Args:
        is_sound: whether a trial holds on the healthy code; else what it says counts for nothing.
    """
    began_s = time.monotonic()
    left = list(among)
    endless = None
    with copy_with(mutant) as copy:
        while left:  # a trial that notices ends the process
            for trial, status, why in trial_results(copy, left):
                left = left[left.index(trial) + 1 :]
                if status in _NOTICED and is_sound(trial):
                    return Judgement(mutant, trial, why, time.monotonic() - began_s)
                if status == _ENDLESS and is_sound(trial):
                    endless = endless or trial
    return Judgement(mutant, None, "", time.monotonic() - began_s, endless)


class Soundness:
    """Which trials hold on the healthy code. Asked of those alone that have noticed something."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._lock = Lock()

    def __call__(self, trial: str) -> bool:
        """Whether it does; it is tried once for each state of the tree."""
        name, key = f"healthy/{trial}", key_of(None, [trial])
        with self._lock:
            note = self._notes.get(name, key)
            if note is None:
                began_s = time.monotonic()
                with copy_with(None) as copy:
                    ((_, status, why),) = trial_results(copy, [trial])
                if status != "held":
                    print(f"left out, for it does not hold on the healthy code: {trial} ({status}: {why})")
                note = Note(key, trial if status != "held" else None, why, time.monotonic() - began_s)
                self._notes.put(name, note)
        return note.caught_by is None


def trial_results(copy: Path, order: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Trial, status and reason, as they come; `no verdict` of one that takes too much of the processors."""
    path = os.pathsep.join([str(copy), str(ROOT / "sim"), str(ROOT)])
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.mutants.judge", *order],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    assert process.stdout is not None
    with ThreadPoolExecutor(1) as reader:
        try:
            for trial in order:
                line = reader.submit(process.stdout.readline)
                why = _impatient(line, process.pid)
                if why:
                    os.killpg(process.pid, SIGKILL)
                    yield trial, _ENDLESS, why
                    return
                text = line.result()
                if not text:  # it died, or an earlier trial was the last
                    if process.wait(HANGING_S):
                        assert process.stderr is not None
                        yield trial, "error", process.stderr.read().strip().rpartition("\n")[2]
                    return
                said = json.loads(text)
                yield said["trial"], said["status"], said["why"]
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, SIGKILL)  # boards are processes of their own
            process.communicate()


def _impatient(line: Future[str], group: int) -> str:
    """Wait until these processes have said something; say why no longer, or "" when they have."""
    began_s, spent_s = time.monotonic(), processor_s(group)
    while wait([line], LOOK_S).not_done:
        if processor_s(group) - spent_s > PATIENCE_S:
            return f"none after {PATIENCE_S:g} s of the processors"
        if time.monotonic() - began_s > HANGING_S:
            return f"none after {HANGING_S:g} s"
    return ""


def processor_s(group: int) -> float:
    """How long the processes of this group, and those of theirs that have ended, have had a processor.

    Known on Linux alone; elsewhere 0, and only who hangs is given up.
    """
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            fields = stat.read_text(encoding="latin-1").rpartition(")")[2].split()
            if int(fields[2]) == group:
                ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def measure(
    mutants: Sequence[SourceMutant],
    jobs: int,
    notes: Notes,
    tried: Callable[[SourceMutant], list[str]] = lambda mutant: trials(mutant.part),
    within_s: float = math.inf,
) -> list[Judgement]:
    """Judge these mutants, as far as no note says what becomes of them; print each as it is known.

    Args:
        tried: what is tried on a mutant; all that ships for its part, if not given.
        within_s: after which none is begun.
    """
    is_sound = Soundness(notes)
    end_s = time.monotonic() + within_s

    def judged(mutant: SourceMutant) -> Judgement | None:
        among = tried(mutant)
        key = key_of(mutant, among)
        note = notes.get(mutant.name, key)
        if note is None and time.monotonic() > end_s:
            return None
        if note is None:
            likely = dict.fromkeys(t for t in (notes.hint(mutant.name), mutant.caught_by) if t in among)
            order = [*likely, *(trial for trial in among if trial not in likely)]
            judgement = judge(mutant, order, is_sound)
            note = Note(key, judgement.caught_by, judgement.why, judgement.seconds, judgement.endless)
            notes.put(mutant.name, note)
        return Judgement(mutant, note.caught_by, note.why, note.seconds, note.endless)

    judgements = []
    with ThreadPoolExecutor(jobs) as pool:
        for judgement in filter(None, pool.map(judged, mutants)):
            line = (
                f"{judgement.mutant.name}: {judgement.in_words} in {judgement.seconds:.1f} s  {judgement.why}"
            )
            print(line[:200], flush=True)
            judgements.append(judgement)
    return judgements


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks mutants", description=__doc__)
    parser.add_argument("--part", choices=list(PARTS), help="only mutants of this part")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="only mutants whose name, or whose file, is like this: queue-*, dcompute/_ota/*",
    )
    parser.add_argument(
        "--unnamed", action="store_true", help="only mutants for which the catalogue names no catcher"
    )
    parser.add_argument(
        "--by",
        action="append",
        default=[],
        metavar="PATTERN",
        help="try only what is like this: update*, 'swarm --seed ?'",
    )
    parser.add_argument(
        "--recorded",
        action="store_true",
        help="try on each only what the catalogue names: as much is proven, in a tenth of the time",
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    parser.add_argument("--write", action="store_true", help="write the first catchers into the catalogue")
    return parser


def main(argv: Sequence[str]) -> int:
    """The command; 1 when less than the target is caught."""
    parser = _options()
    given = parser.parse_args(argv)
    chosen = [
        mutant
        for part in ([given.part] if given.part else PARTS)
        for mutant in catalogue(part)
        if not given.only
        or any(fnmatch(mutant.name, like) or fnmatch(mutant.edit.file, like) for like in given.only)
        if not (given.unnamed and mutant.caught_by)
    ]
    if not chosen:
        parser.error(f"no mutant is like {' or '.join(given.only)}")

    def tried(mutant: SourceMutant) -> list[str]:
        among = trials(mutant.part)
        if given.recorded:
            return [trial for trial in among if trial == mutant.caught_by]
        return [trial for trial in among if not given.by or any(fnmatch(trial, like) for like in given.by)]

    judged = [mutant for mutant in chosen if mutant.equivalent is None]
    judgements = measure(judged, given.jobs, Notes(), tried)
    for mutant in chosen:
        if mutant.equivalent is not None:
            print(f"{mutant.name}: equivalent: {mutant.equivalent}")
    share = _print_result(judgements, alike=len(chosen) - len(judged))
    if given.write:
        write_catchers(judgements)
    return 0 if share >= TARGET else 1


def _print_result(judgements: Sequence[Judgement], alike: int) -> float:
    """Print what came of it; return the share that was caught."""
    caught = [judgement for judgement in judgements if judgement.caught_by]
    share = len(caught) / max(1, len(judgements))
    print(f"\n{len(caught)} of {len(judgements)} mutants caught ({share:.1%}; target {TARGET:.0%})", end="")
    print(f", {alike} more equivalent")
    for heading, endless in (("survived", False), ("no verdict", True)):
        names = [j.mutant.name for j in judgements if not j.caught_by and bool(j.endless) is endless]
        if names:
            print(f"{heading}: {', '.join(names)}")
    return share


def write_catchers(judgements: Sequence[Judgement]) -> None:
    """Write down which trial noticed each mutant first, for the next time."""
    yaml = YAML()
    yaml.width = 10_000
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=2, offset=0)
    found = {judgement.mutant.name: judgement.caught_by for judgement in judgements}
    for path in PARTS.values():
        entries = yaml.load(path.read_text(encoding="utf-8"))
        for entry in entries:
            if entry["name"] in found:
                entry.pop("caught_by", None)
                if found[entry["name"]]:
                    entry["caught_by"] = found[entry["name"]]
        with path.open("w", encoding="utf-8") as out:
            yaml.dump(entries, out)
