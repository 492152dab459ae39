"""Generic mutation of the pure cores: what the testbed notices of changes that nobody here has thought of.

    python -m benchmarks mutation --sample 60 --seed 1

cosmic-ray (the extra `mutation`) finds every place where one of its operators can change a core. A sample of
them, the same for the same seed and as many of each core, is judged like the catalogue's mutants, each in a
process of its own, by all that judges those but the longest (`trials.brief`). Survivors are printed as the
lines that differ, for somebody to look at: a hole, or a change that nobody can see. What somebody has found
to be of the latter kind is in `mutants/equivalent.yaml`, with the reason, and is not judged again.

Left out are changes of what is never evaluated (annotations), which no run could notice.

The oracle was once the swarm alone (for end to end delivery the cores alone, in random orders of loss and
crash): 22 of 60 were caught, and most of the others were noticed by scenarios that ship.

Rejected: mutmut, which runs a test suite through trampolines of its own; here the oracle is no pytest, and
firmware shares these very files.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import os
import random
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from typing import Any

from dcompute_sim.mutants import Edit
from ruamel.yaml import YAML

from benchmarks.mutants.catalogue import ROOT, SourceMutant
from benchmarks.mutants.notes import Notes
from benchmarks.mutants.run import measure
from benchmarks.mutants.trials import brief

CORES = {
    "dcompute/node_core.py": "dcompute",
    "dcompute/protocol.py": "dcompute",
    "dcompute/_master/registry.py": "dcompute",
    "dcompute/node_ring.py": "delivery",
    "dcompute/node_answers.py": "delivery",
    "dcompute/executor/core.py": "delivery",
}
"""Each with the part of the catalogue whose trials judge it."""

EQUIVALENT = ROOT / "benchmarks" / "mutants" / "equivalent.yaml"
"""Changes that nobody can notice, by the lines that differ, with the reasons."""


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
    edit = Edit(file, source, text)
    why = _equivalent().get((file, *_lines(edit)))
    return SourceMutant(CORES[file], f"{file} {what}", what, edit, equivalent=why)


@cache
def _equivalent() -> dict[tuple[str, ...], str]:
    """Reasons by file, lines as they are and lines as they would be."""
    entries = YAML(typ="safe").load(EQUIVALENT.read_text(encoding="utf-8"))
    return {(entry["file"], entry["old"], new): entry["why"] for entry in entries for new in entry["new"]}


def _lines(edit: Edit) -> tuple[str, str]:
    """What differs, before and after."""
    differing = [line.strip() for line in _differing(edit)]
    return tuple(  # type: ignore[return-value]
        "\n".join(line[1:].strip() for line in differing if line.startswith(sign)) for sign in "-+"
    )


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
    chosen = mutants(given.sample, given.seed)
    judged = [mutant for mutant in chosen if mutant.equivalent is None]
    judgements = measure(
        judged, given.jobs, Notes(), lambda mutant: brief(CORES[mutant.edit.file]), given.within
    )
    for judgement in judgements:
        if not judgement.caught_by:
            print(f"\n{judgement.mutant.name}: {judgement.in_words}")
            print("\n".join(_differing(judgement.mutant.edit)))
    for mutant in chosen:
        if mutant.equivalent is not None:
            print(f"{mutant.name}: equivalent: {mutant.equivalent}")
    for file in CORES:
        of_file = [each for each in judgements if each.mutant.edit.file == file]
        print(f"{file}: {sum(each.caught_by is not None for each in of_file)} of {len(of_file)} caught")
    caught = sum(each.caught_by is not None for each in judgements)
    share = caught / max(1, len(judgements))
    print(
        f"\n{caught} of {len(judgements)} caught ({share:.0%}), {len(chosen) - len(judged)} more equivalent"
    )
    return 0
