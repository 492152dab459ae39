"""Which names a piece of Python binds."""

from __future__ import annotations

import ast

from dcompute_sim.fwbuild.syntax_nodes import nodes_of


def bound_names(statement: ast.stmt) -> list[str]:
    """Return the names that a statement of a module or class binds in it."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return [statement.name]
    return [n.id for n in nodes_of(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]


def local_names(function: ast.FunctionDef) -> set[str]:
    nodes = list(nodes_of(function))
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    names |= {node.name for node in nodes if isinstance(node, ast.ExceptHandler) and node.name}
    for node in nodes:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name for alias in node.names}
    return names.difference(*(node.names for node in nodes if isinstance(node, ast.Global)))
