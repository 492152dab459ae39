"""Lets local variables that are never needed at the same time share a place in their function's frame.

A frame of more than eleven words is taken from the heap for as long as the call lasts, and calls go ten deep.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from dcompute_sim.fwbuild.scope import local_names
from dcompute_sim.fwbuild.syntax_nodes import nodes_of

_Range = tuple[int, int]
_CAPTURING = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Delete)
_IMPORTS = (ast.Import, ast.ImportFrom)  # bind names that no `Name` node shows


def share_locals(tree: ast.Module) -> None:
    """Rename the locals of all functions in `tree` so."""
    for function in [node for node in nodes_of(tree) if isinstance(node, ast.FunctionDef)]:
        inner = [node for statement in function.body for node in nodes_of(statement)]
        if not any(isinstance(node, (ast.FunctionDef, *_CAPTURING, *_IMPORTS)) for node in inner):
            _share(function)


def _share(function: ast.FunctionDef) -> None:
    walk = _Walk(local_names(function))
    parameters = [argument.arg for argument in nodes_of(function.args) if isinstance(argument, ast.arg)]
    for name in parameters:
        walk.at(name)
    walk.all(function.body)
    places: dict[str, int] = {}  # name of the place -> when it is free
    chosen: dict[str, str] = {}
    for (start, end), name in sorted((needed, name) for name, needed in walk.needed().items()):
        free = [place for place, until in places.items() if until < start and name not in parameters]
        place = chosen[name] = free[0] if free else name
        places[place] = end
    for node in nodes_of(function):
        if isinstance(node, ast.Name):
            node.id = chosen.get(node.id, node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            node.name = chosen[node.name]


class _Walk:
    """Goes over statements in the order in which they run and notes where each variable is named."""

    def __init__(self, names: set[str]) -> None:
        self._names = names
        self._now = 0
        self._seen: dict[str, list[int]] = {}
        self._loops: list[_Range] = []  # outermost ones

    def needed(self) -> dict[str, _Range]:
        """Return from where to where each is needed; in a loop, what one turn leaves may be needed in the
        next."""
        return {name: self._widened(min(times), max(times)) for name, times in self._seen.items()}

    def _widened(self, first: int, last: int) -> _Range:
        for start, end in self._loops:
            if first <= end and start <= last:
                first, last = min(first, start) if first >= start else first, max(last, end)
        return first, last

    def at(self, name: str) -> None:
        self._now += 1
        if name in self._names:
            self._seen.setdefault(name, []).append(self._now)

    def all(self, nodes: list[ast.stmt], in_loop: bool = False) -> None:
        for node in nodes:
            self._statement(node, in_loop)

    def _statement(self, node: ast.AST, in_loop: bool) -> None:
        self._now += 1
        start = self._now
        loop = isinstance(node, (ast.For, ast.While))
        if isinstance(node, ast.ExceptHandler) and node.name:
            self.at(node.name)
        for part in _in_order(node):
            if isinstance(part, ast.Name):
                self.at(part.id)
            else:
                self._statement(part, in_loop or loop)
        if isinstance(node, ast.ExceptHandler) and node.name:
            self.at(node.name)  # it is unbound at the end
        self._now += 1
        if loop and not in_loop:
            self._loops.append((start, self._now))


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    """Yield its parts in the order in which they are evaluated."""
    if isinstance(node, ast.Assign):
        yield node.value
        yield from node.targets
    elif isinstance(node, ast.AugAssign):
        yield from (node.target, node.value, node.target)
    elif isinstance(node, ast.For):
        yield from (node.iter, node.target, *node.body, *node.orelse)
    else:
        yield from ast.iter_child_nodes(node)
