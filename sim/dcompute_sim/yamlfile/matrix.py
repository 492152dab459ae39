"""`matrix`: one file that stands for every combination of some values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dcompute_sim.yamlfile.override import override, parse_setting, with_value
from dcompute_sim.yamlfile.problems import LocatedError, Problem, choice_hint, fail
from dcompute_sim.yamlfile.tree import Leaf, Map, Node, Seq

MAX_MATRIX = 1000


def variations(root: Map, top_level: Sequence[str], settings: Sequence[str]) -> Iterator[tuple[str, Map]]:
    """Yield each combination of the `matrix` with its label, settings applied; the one plain tree without a
    matrix.

    An axis named like a top-level key, or with dots, sets that; any other sets the variable of its name.
    """
    _declared(root, settings)
    root = override(root, settings)
    matrix = root.entries.get("matrix")
    root = Map(root.span, {key: node for key, node in root.entries.items() if key != "matrix"}, root.keys)
    if matrix is None:
        yield "", root
        return
    fixed = [parse_setting(setting)[0] for setting in settings]  # what the command line says is not varied
    axes = [axis for axis in _axes(matrix, top_level) if axis.path not in fixed]
    if math.prod(len(axis.values) for axis in axes) > MAX_MATRIX:
        fail(matrix.span, f"the matrix has more than {MAX_MATRIX} combinations", "shorten its lists")
    for combination in itertools.product(*(axis.values for axis in axes)):
        tree = root
        for axis, value in zip(axes, combination, strict=True):
            tree = with_value(tree, axis.path, value)
        named = zip((axis.name for axis in axes), map(_label, combination), strict=True)
        yield ",".join(f"{name}={text}" for name, text in named), tree


def _declared(root: Map, settings: Sequence[str]) -> None:
    """Complain about settings of variables that the file does not have: nothing would come of them."""
    variables = root.entries.get("vars")
    known = [str(key) for key in variables.entries] if isinstance(variables, Map) else []
    problems = []
    for setting in settings:
        path, value = parse_setting(setting)
        if path[0] == "vars" and (len(path) < 2 or path[1] not in known):
            hint = choice_hint(path[-1], known)
            problems.append(Problem(value.span, f"no variable `{'.'.join(path[1:])}` to set", hint))
    if problems:
        raise LocatedError(problems)


@dataclass(frozen=True)
class _Axis:
    name: str
    path: list[str]
    values: list[Node]


def _axes(matrix: Node, top_level: Sequence[str]) -> list[_Axis]:
    if not isinstance(matrix, Map) or not matrix.entries:
        fail(matrix.span, "`matrix` is a mapping of names to lists", "`matrix: {keepalive: [10s, 60s]}`")
    axes = []
    for key, values in matrix.entries.items():
        name = str(key)
        if not isinstance(values, Seq) or not values.items:
            fail(values.span, f"`{name}` needs a list of values", f"write `{name}: [10s, 60s]`")
        path = name.split(".") if "." in name or name in top_level else ["vars", name]
        axes.append(_Axis(name, path, values.items))
    return axes


def _label(node: Node) -> str:
    return node.text if isinstance(node, Leaf) else f"line {node.span.line}"
