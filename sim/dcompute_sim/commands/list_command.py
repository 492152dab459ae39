"""`dcompute list`: what there is by name, a line each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from dcompute_sim.checks import CHECKS
from dcompute_sim.faults import KINDS
from dcompute_sim.mutants.catalogue import MUTANTS
from dcompute_sim.scenario import load, shipped


class What(Enum):
    """What is listed."""

    SCENARIOS = "scenarios"
    FAULTS = "faults"
    EXPECTATIONS = "expectations"
    MUTANTS = "mutants"


def list_(
    what: Annotated[What | None, typer.Argument(help="Only these; everything when left out.")] = None,
) -> None:
    """List scenarios that ship, kinds of fault, expectations and mutants, each with what it is."""
    for each in [what] if what is not None else list(What):
        if what is None:
            typer.echo(f"{each.value}:")
        rows = list(_ROWS[each]())
        width = max(len(name) for name, _ in rows)
        for name, about in rows:
            typer.echo(f"{'' if what else '  '}{name:<{width}}  {about}".rstrip())


def _scenarios() -> Iterator[tuple[str, str]]:
    for name, path in shipped().items():
        yield name, _description(path)


def _description(path: Path) -> str:
    """Return what the file says of itself; loaded only for its variables, so that all take no time."""
    found = re.search(r"(?m)^description: *(.*)$", path.read_text(encoding="utf-8"))
    said = found[1].strip("'\"") if found else ""
    return load(path).description if "${" in said else said


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]


_ROWS: dict[What, Callable[[], Iterator[tuple[str, str]]]] = {
    What.SCENARIOS: _scenarios,
    What.FAULTS: lambda: ((name, _first_line(kind.__doc__)) for name, kind in sorted(KINDS.items())),
    What.EXPECTATIONS: lambda: ((name, _first_line(check.__doc__)) for name, check in sorted(CHECKS.items())),
    What.MUTANTS: lambda: ((name, _first_line(mutant.about)) for name, mutant in MUTANTS.items()),
}
