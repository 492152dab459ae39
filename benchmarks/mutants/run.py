"""Run the benchmark: judge the catalogue's mutants, several at a time, and print what became of each."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ruamel.yaml import YAML

from benchmarks.mutants.catalogue import PARTS, ROOT, SourceMutant, catalogue, copy_with
from benchmarks.mutants.trials import trials

TARGET = 0.97

_PATIENCE_S = 120.0  # for one trial; a mutant that takes longer hangs


@dataclass(frozen=True)
class Judgement:
    """What became of a mutant. `caught_by` is None when it survived."""

    mutant: SourceMutant
    caught_by: str | None
    why: str
    seconds: float


def judge(mutant: SourceMutant, among: Sequence[str]) -> Judgement:
    """Try a mutant until something notices it; the trial that it names first."""
    began_s = time.monotonic()
    first = [trial for trial in among if trial == mutant.caught_by]
    order = [*first, *(trial for trial in among if trial not in first)]
    with copy_with(mutant) as copy:
        for trial, status, why in _results(copy, order):
            if status in ("failed", "error", "hangs"):
                return Judgement(mutant, trial, why, time.monotonic() - began_s)
    return Judgement(mutant, None, "", time.monotonic() - began_s)


def sound(part: str, among: Sequence[str]) -> list[str]:
    """Those of the trials that hold on the healthy code."""
    held = []
    left = list(among)
    with copy_with(None) as copy:
        while left:  # a trial that fails ends the process
            for trial, status, why in _results(copy, left):
                left = left[left.index(trial) + 1 :]
                if status == "held":
                    held.append(trial)
                else:
                    print(f"left out, for it does not hold on the healthy code: {trial} ({status}: {why})")
    return held


def _results(copy: Path, order: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Trial, status and reason, as they come; `hangs` for one that takes too long."""
    path = os.pathsep.join([str(copy), str(ROOT / "sim"), str(ROOT)])
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.mutants.judge", *order],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with ThreadPoolExecutor(1) as reader:
        try:
            for trial in order:
                line = reader.submit(process.stdout.readline)
                try:
                    text = line.result(_PATIENCE_S)
                except TimeoutError:
                    process.kill()
                    yield trial, "hangs", f"no verdict after {_PATIENCE_S:g} s"
                    return
                if not text:  # it died, or an earlier trial was the last
                    if process.wait(_PATIENCE_S):
                        assert process.stderr is not None
                        yield trial, "error", process.stderr.read().strip().rpartition("\n")[2]
                    return
                said = json.loads(text)
                yield said["trial"], said["status"], said["why"]
        finally:
            process.kill()
            process.communicate()


def measure(parts: Sequence[str], only: Sequence[str], jobs: int) -> list[Judgement]:
    """Judge the mutants of these parts; print each as it ends."""
    judgements = []
    for part in parts:
        mutants = [m for m in catalogue(part) if m.equivalent is None and (not only or m.name in only)]
        named = {mutant.caught_by for mutant in mutants}
        among = trials(part)
        if not only:
            among = sound(part, among)
        elif None not in named:
            among = [trial for trial in among if trial in named]
        with ThreadPoolExecutor(jobs) as pool:
            for judgement in pool.map(partial(judge, among=among), mutants):
                told = f"caught by {judgement.caught_by}" if judgement.caught_by else "SURVIVED"
                line = f"{judgement.mutant.name}: {told} in {judgement.seconds:.1f} s  {judgement.why}"
                print(line[:200], flush=True)
                judgements.append(judgement)
        equivalent = [m for m in catalogue(part) if m.equivalent is not None]
        for mutant in equivalent if not only else ():
            print(f"{mutant.name}: equivalent: {mutant.equivalent}")
    return judgements


def main(argv: Sequence[str]) -> int:
    """The command; 1 when less than the target is caught."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks mutants", description=__doc__)
    parser.add_argument("--part", choices=list(PARTS), help="only mutants of this part")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only this mutant")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    parser.add_argument("--write", action="store_true", help="write the first catchers into the catalogue")
    given = parser.parse_args(argv)
    judgements = measure([given.part] if given.part else list(PARTS), given.only, given.jobs)
    caught = [judgement for judgement in judgements if judgement.caught_by]
    survived = [judgement.mutant.name for judgement in judgements if not judgement.caught_by]
    share = len(caught) / max(1, len(judgements))
    print(f"\n{len(caught)} of {len(judgements)} mutants caught ({share:.1%}; target {TARGET:.0%})")
    if survived:
        print(f"survived: {', '.join(survived)}")
    if given.write:
        write_catchers(judgements)
    return 0 if share >= TARGET else 1


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
