"""`python -m benchmarks [SUITE...]`: measure, print, and say what misses its target.

`python -m benchmarks mutants` and `python -m benchmarks mutation` have options of their own.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from benchmarks.figures import print_figures
from benchmarks.mutants.run import main as mutants
from benchmarks.mutation import main as mutation

SUITES = (
    "virtual",
    "transport",
    "fleet",
    "firmware",
    "chip_time",
    "delivery",
    "executor",
    "kills",
    "campaign",
    "structure",
    "tcp",
    "shrink",
    "hostile",
    "hunt",
    "heap",
    "page",
    "public_programs",
)


def main() -> int:
    if sys.argv[1:2] == ["mutants"]:
        return mutants(sys.argv[2:])
    if sys.argv[1:2] == ["mutation"]:
        return mutation(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("suite", nargs="*", help=f"{', '.join(SUITES)}; all when none is named")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument(
        "--rev", metavar="REVISION", help="structure: of this git revision; virtual: beside it"
    )
    parser.add_argument("--only", metavar="CAMPAIGN", help="kills: this one of its campaigns")
    arguments = parser.parse_args()
    unknown = set(arguments.suite) - set(SUITES)
    if unknown:
        parser.error(f"no suite {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    if arguments.rev and arguments.suite not in (["structure"], ["virtual"]):
        parser.error("--rev is for `structure` or `virtual` alone: the others measure what is installed")
    if arguments.only and arguments.suite != ["kills"]:
        parser.error("--only is for the suite `kills` alone")
    found = {}
    for suite in arguments.suite or SUITES:
        options = {"revision": arguments.rev, "only": arguments.only}
        options = {name: value for name, value in options.items() if value}
        figures = importlib.import_module(f"benchmarks.{suite}").measure(**options)
        print_figures(suite, figures)
        found[suite] = [figure.as_dict() for figure in figures]
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0 if all(figure["met"] for figures in found.values() for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
