"""Which attributes keep their names in the compiled firmware: those that others than its modules use."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType

from dcompute_sim.fwbuild.syntax_nodes import nodes_of

UMQTT = frozenset(
    {"client_id", "sock", "server", "port", "ssl", "ssl_params", "pid", "cb", "user", "pswd"}
) | {
    *("keepalive", "lw_topic", "lw_msg", "lw_qos", "lw_retain", "set_callback", "set_last_will", "connect"),
    *("disconnect", "ping", "publish", "subscribe", "unsubscribe", "wait_msg", "check_msg"),
}
_WATCHED = frozenset({"will", "greeting", "lost", "on_event", "inc"})  # of the core, by the testbed
_PUBLIC_CLASS = "ComputeNode"
_OF_USERS = ("main", "tasks")  # modules that people replace by their own


def kept_names(modules: Mapping[str, str], ours: Collection[str], around: Iterable[Path]) -> set[str]:
    """Name the attributes that the modules of the firmware must not rename.

    Args:
        modules: source text by module name.
        ours: the modules of them that are dcompute's.
        around: sources of what runs beside the program and names parts of it: launcher, built-in modules.
    """
    trees = {name: ast.parse(text, name) for name, text in modules.items()}
    kept = {*UMQTT, *_WATCHED}
    for tree in trees.values():
        kept.update(_members(tree, _PUBLIC_CLASS))
        kept.update(_library_names(tree))
    others = [tree for name, tree in trees.items() if name in _OF_USERS or name not in ours]
    others += [ast.parse(path.read_text()) for path in around]
    for tree in others:
        kept.update(_used(tree))
    return kept


def _used(tree: ast.Module) -> Iterator[str]:
    """Yield all attributes, and what others may have from here as attributes."""
    for node in nodes_of(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, (ast.Module, ast.ClassDef)):
            yield from (part.name for part in node.body if isinstance(part, (ast.FunctionDef, ast.ClassDef)))


def _members(tree: ast.Module, class_name: str) -> Iterator[str]:
    """Yield the methods of a class, and what it sets on `self`."""
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef) and statement.name == class_name:
            for node in nodes_of(statement):
                if isinstance(node, ast.FunctionDef):
                    yield node.name
                elif isinstance(node, ast.Attribute) and ast.unparse(node) == f"self.{node.attr}":
                    yield node.attr


def _library_names(tree: ast.Module) -> Iterator[str]:
    """Yield those of the types that are built in, and of what CPython has under the names of the modules
    imported."""
    yield from _of_module(builtins)
    for node in nodes_of(tree):
        names: Iterable[str] = ()
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for name in names:
            if name in sys.stdlib_module_names:
                yield from _of_module(import_module(name))


def _of_module(module: ModuleType) -> Iterator[str]:
    for name, value in vars(module).items():
        yield name
        if isinstance(value, type):
            yield from dir(value)
