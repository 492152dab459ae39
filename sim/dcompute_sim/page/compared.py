"""Two runs side by side, as the page shows them: verdicts, measurements, what came of each fault."""

from __future__ import annotations

from dcompute_sim.report.comparison import Sides, outcome_cells
from dcompute_sim.report.console import WORD
from dcompute_sim.report.text import ColumnUnit


def compared(sides: Sides) -> dict[str, object]:
    """Return what `dcompute compare` says of them, as tables."""
    return {"agree": sides.agree, "tables": [_verdicts(sides), _measured(sides), _faults(sides)]}


def _table(title: str, heads: list[str], rows: list[tuple[list[str], bool]]) -> dict[str, object]:
    return {
        "title": title,
        "heads": heads,
        "rows": [{"cells": cells, "differs": differs} for cells, differs in rows],
    }


def _verdicts(sides: Sides) -> dict[str, object]:
    rows = []
    for left, right in sides.pairs():
        words = [WORD[it.outcome.status] if it is not None else "not judged" for it in (left, right)]
        label = (left or right).label  # type: ignore[union-attr]  # one of them is there
        rows.append(([label, *words], words[0] != words[1]))
    return _table("Verdicts", ["expectation", sides.left.name, sides.right.name], rows)


def _measured(sides: Sides) -> dict[str, object]:
    left, right = sides.left.distributions, sides.right.distributions
    unit = ColumnUnit.of("s", (d.figures().get("max", 0) for d in (*left.values(), *right.values())))
    rows = []
    for name in dict.fromkeys([*left, *right]):
        for side in (sides.left, sides.right):
            if name in side.distributions:
                figures = side.distributions[name].figures()
                told = [unit.text(figures.get(key)) for key in ("min", "median", "max", "bound")]
                rows.append(([name, side.name, f"{int(figures['count']):,}", *told], False))
    heads = ["what", "run", "count", "min", "median", "max", "bound"]
    return _table(f"Measured, in {unit.name}", heads, rows)


def _faults(sides: Sides) -> dict[str, object]:
    left, right = sides.left.fault_outcomes, sides.right.fault_outcomes
    rows = []
    for key in dict.fromkeys([*left, *right]):
        same = key in left and key in right and left[key].order == right[key].order
        for side in (sides.left, sides.right):
            rows.append(
                ([f"{key[0]} {key[1]}", side.name, *outcome_cells(side.fault_outcomes.get(key))], not same)
            )
    return _table("Faults", ["fault", "run", "node", "events, in order", "dead in", "back in"], rows)
