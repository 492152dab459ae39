"""Short names in the place of those that only the program itself uses: a heap holds every letter."""

from __future__ import annotations

import ast
import itertools
import string
from collections.abc import Collection, Iterator, Mapping, Sequence

from dcompute_sim.fwbuild.build_errors import BuildError
from dcompute_sim.fwbuild.scope import bound_names
from dcompute_sim.fwbuild.syntax_nodes import nodes_of


def short_names(letters: str, taken: Collection[str]) -> Iterator[str]:
    for length in itertools.count(1):
        for name in map("".join, itertools.product(letters, repeat=length)):
            if name not in taken:
                yield name


def public_attributes(trees: Sequence[ast.Module], kept: Collection[str]) -> None:
    """Rename what the program defines in its classes or sets on its objects, except for `kept`.

    The same name gets the same letters everywhere, whatever it is an attribute of.
    """
    nodes = [node for tree in trees for node in nodes_of(tree)]
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    members = [s for node in nodes if isinstance(node, ast.ClassDef) for s in node.body]
    targets = [t for s in members if isinstance(s, ast.Assign) for t in s.targets if isinstance(t, ast.Name)]
    methods = [s for s in members if isinstance(s, ast.FunctionDef)]
    defined = {node.attr for node in attributes if isinstance(node.ctx, ast.Store)}
    defined |= {target.id for target in targets} | {method.name for method in methods}
    # A text that is a name, too, is not stored a second time.
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    public = sorted(name for name in defined - texts - set(kept) if not name.startswith("_"))
    taken = {node.attr for node in attributes} | set(kept)
    short = dict(zip(public, short_names(string.ascii_uppercase, taken), strict=False))
    for tree in trees:
        rename(tree, short)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def qualify(tree: ast.Module, module: str) -> None:
    """Give each class's `_attributes` a name that says whose they are, until private_attributes."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for node in nodes_of(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and ast.unparse(node.value) != "self":
            raise BuildError(f"{ast.unparse(node)}: private, and not of self")
    for name, node in classes.items():
        if any(isinstance(base, ast.Name) and base.id in classes for base in node.bases):
            raise BuildError(f"{name}: a class whose base is merged with it is not supported")
        stored = [n for n in nodes_of(node) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)]
        defined = {n for statement in node.body for n in bound_names(statement)} | {n.attr for n in stored}
        rename(node, {private: f"{private}@{module}.{name}" for private in filter(is_private, defined)})


def private_attributes(tree: ast.Module, taken: Collection[str]) -> None:
    """Rename what `qualify` has named; every class uses the same few letters."""
    nodes = list(nodes_of(tree))
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    used |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    classes: dict[str, list[str]] = {}
    for name in sorted(name for name in used if "@" in name):
        classes.setdefault(name.partition("@")[2], []).append(name)
    short: dict[str, str] = {}
    for names in classes.values():
        short |= zip(names, short_names(string.ascii_lowercase, taken), strict=False)
    rename(tree, short)


def rename(tree: ast.AST, short: Mapping[str, str]) -> None:
    """Rename attributes, methods, and what a class body binds."""
    for node in nodes_of(tree):
        if isinstance(node, ast.Attribute):
            node.attr = short.get(node.attr, node.attr)
        elif isinstance(node, ast.FunctionDef):
            node.name = short.get(node.name, node.name)
        elif isinstance(node, ast.ClassDef):
            for statement in node.body:
                for target in statement.targets if isinstance(statement, ast.Assign) else ():
                    if isinstance(target, ast.Name):
                        target.id = short.get(target.id, target.id)


def arguments(tree: ast.Module, keywords: Collection[str | None], public: Collection[str]) -> None:
    """Rename the arguments that no call names; those of what is public may be named by anybody."""
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef) and statement.name not in public:
            _arguments_of(statement, keywords)
        elif isinstance(statement, ast.ClassDef):
            for method in statement.body:
                if isinstance(method, ast.FunctionDef) and (
                    statement.name not in public or is_private(method.name)
                ):
                    _arguments_of(method, keywords)


def _arguments_of(function: ast.FunctionDef, keywords: Collection[str | None]) -> None:
    nodes = list(nodes_of(function))
    if any(isinstance(node, (ast.FunctionDef, ast.Lambda)) for node in nodes[1:]):
        return
    arguments = [node for node in nodes if isinstance(node, ast.arg)]
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    fresh = short_names(string.ascii_lowercase, used)
    short = {a.arg: next(fresh) for a in arguments if a.arg != "self" and a.arg not in keywords}
    for node in nodes:
        if isinstance(node, ast.Name):
            node.id = short.get(node.id, node.id)
        elif isinstance(node, ast.arg):
            node.arg = short.get(node.arg, node.arg)
