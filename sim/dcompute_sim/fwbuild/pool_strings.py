"""A module's longer texts as pieces of one: each takes some 50 bytes of heap beside its letters.

Only texts for people, which have a space in them: a piece is cut out each time it is used, and those are used
when something rare happens.
"""

from __future__ import annotations

import ast

from dcompute_sim.fwbuild.syntax_nodes import nodes_of

_INTERNED_CHARS = 10  # up to this MicroPython's compiler makes a text a name, which costs its letters only


def pool_strings(tree: ast.Module, name: str) -> None:
    """Put the texts that `tree`'s functions use into one called `name`, at the module's beginning."""
    functions = [node for node in nodes_of(tree) if isinstance(node, ast.FunctionDef)]
    texts = {
        node.value
        for function in functions
        for statement in function.body  # its defaults are not evaluated when it is called
        for node in nodes_of(statement)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_for_people(node.value)
    }
    if len(texts) < 2:
        return
    joined = ""
    for text in sorted(texts, key=lambda text: (-len(text), text)):
        joined += "" if text in joined else text
    pieces = _Pieces(name, joined, texts)
    for statement in tree.body:
        pieces.visit(statement)
    assignment = ast.Assign(targets=[ast.Name(name, ast.Store())], value=ast.Constant(joined))
    tree.body.insert(0, ast.fix_missing_locations(assignment))


def _is_for_people(text: str) -> bool:
    return len(text) > _INTERNED_CHARS and " " in text and text.isascii()


class _Pieces(ast.NodeTransformer):
    def __init__(self, name: str, joined: str, texts: set[str]) -> None:
        self._name = name
        self._joined = joined
        self._texts = texts
        self._depth = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self._depth += 1
        node.body = [self.visit(statement) for statement in node.body]
        self._depth -= 1
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not self._depth or not isinstance(node.value, str) or node.value not in self._texts:
            return node
        start = self._joined.index(node.value)
        cut = ast.Slice(ast.Constant(start), ast.Constant(start + len(node.value)))
        return ast.Subscript(ast.Name(self._name, ast.Load()), cut, ast.Load())
