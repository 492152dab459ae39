"""Generic mutation of the pure cores: what the testbed notices of changes that nobody here has thought of.

    python -m benchmarks mutation --sample 60 --seed 1

cosmic-ray (the extra `mutation`) finds every place where one of its operators can change a core. A sample of
them, the same for the same seed and as many of each core, is judged like the catalogue's mutants, each in a
process of its own. The oracle is the swarm, and for what only those need who are acknowledged end to end, the
real cores in random orders of loss and crash (`dcompute_sim.end_to_end`). Survivors are printed as the
lines that differ, for somebody to look at: a hole, or a change that nobody can see.

Left out are changes of what is never evaluated (annotations), which no run could notice.

Rejected: mutmut, which runs a test suite through trampolines of its own; here the oracle is no pytest, and
firmware shares these very files.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from dcompute_sim.mutants import Edit

from benchmarks.mutants.catalogue import ROOT, SourceMutant
from benchmarks.mutants.run import Judgement, judge
from benchmarks.mutants.trials import END_TO_END

CORES = {
    "dcompute/node_core.py": "swarm",
    "dcompute/protocol.py": "swarm",
    "dcompute/_master/registry.py": "swarm",
    "dcompute/node_ring.py": "end to end",
    "dcompute/node_answers.py": "end to end",
    "dcompute/executor/core.py": "end to end",
}
"""Which oracle judges each."""

SEEDS = 40


def mutants(sample: int, seed: int) -> list[SourceMutant]:
    """So many mutants, as many of each core as of the others."""
    rng = random.Random(seed)
    found: list[SourceMutant] = []
    for file in CORES:
        places = list(_places(file))
        rng.shuffle(places)
        made = (mutant for place in places if (mutant := _mutant(file, *place)) is not None)
        found += islice(made, -(-sample // len(CORES)))
    return found[:sample]


def trials(file: str) -> list[str]:
    """What is tried on a mutant of this core."""
    if CORES[file] == "swarm":
        return [f"swarm --seed {seed}" for seed in range(1, SEEDS + 1)]
    return [END_TO_END]


def _places(file: str) -> Iterator[tuple[str, int]]:
    """Every operator that can change this core, as often as it can."""
    from cosmic_ray import plugins
    from cosmic_ray.ast import ast_nodes, get_ast

    nodes = list(ast_nodes(get_ast((ROOT / file).read_text(encoding="utf-8"))))
    for name in plugins.operator_names():
        operator: Any = plugins.get_operator(name)
        if not operator.arguments():  # else of our own choice: variables to insert or replace
            count = sum(len(list(operator().mutation_positions(node))) for node in nodes)
            yield from ((name, occurrence) for occurrence in range(count))


def _mutant(file: str, name: str, occurrence: int) -> SourceMutant | None:
    """The core with this change; None if no run could notice it, or it is no module any more."""
    from cosmic_ray import plugins
    from cosmic_ray.mutating import mutate_code

    source = (ROOT / file).read_text(encoding="utf-8")
    text = mutate_code(source, plugins.get_operator(name)(), occurrence)
    if text is None or _evaluated(text) in ("", _evaluated(source)):
        return None
    what = f"{name.rpartition('/')[2]} {occurrence}"
    return SourceMutant("dcompute", f"{file} {what}", what, Edit(file, source, text))


def _evaluated(source: str) -> str:
    """What a run can notice of a module: its tree without annotations. "" of what is no module any more."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return ""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return ast.dump(tree)


def measure(sample: int, seed: int, jobs: int, within_s: float) -> list[Judgement]:
    """Judge a sample, as far as the time goes."""
    end_s = time.monotonic() + within_s

    def judged(mutant: SourceMutant) -> Judgement | None:
        return judge(mutant, trials(mutant.edit.file)) if time.monotonic() < end_s else None

    judgements = []
    with ThreadPoolExecutor(jobs) as pool:
        for judgement in pool.map(judged, mutants(sample, seed)):
            if judgement is None:
                continue
            judgements.append(judgement)
            caught = judgement.caught_by
            print(f"{judgement.mutant.name}: {f'caught by {caught}' if caught else 'SURVIVED'}"[:150])
            if not caught:
                print("\n".join(_differing(judgement.mutant.edit)), flush=True)
    return judgements


def _differing(edit: Edit) -> list[str]:
    lines = difflib.unified_diff(edit.old.splitlines(), edit.new.splitlines(), lineterm="", n=0)
    return [f"    {line}" for line in lines if not line.startswith(("---", "+++"))]


def main(argv: Sequence[str]) -> int:
    """The command; always 0: the share is a figure, and each survivor a question."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks mutation", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--sample", type=int, default=60, help="how many mutants")
    parser.add_argument("--seed", type=int, default=1, help="which sample")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    parser.add_argument("--within", type=float, default=900.0, metavar="SECONDS", help="begin none later")
    given = parser.parse_args(argv)
    judgements = measure(given.sample, given.seed, given.jobs, given.within)
    for file in CORES:
        of_file = [each for each in judgements if each.mutant.edit.file == file]
        caught = sum(each.caught_by is not None for each in of_file)
        print(f"{file}: {caught} of {len(of_file)} caught")
    caught = sum(each.caught_by is not None for each in judgements)
    print(f"\n{caught} of {len(judgements)} caught ({caught / max(1, len(judgements)):.0%})")
    return 0
