"""Makes one object of an object and of those that only it has: each class and each object costs a small heap.

Where a class is made in one place only, as `self.part = Part(...)` in another one's `__init__`, its methods
and attributes become that other one's, and `x.part.name` becomes `x.name`. What nothing reads is left out.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from dcompute_sim.fwbuild.mangle import rename
from dcompute_sim.fwbuild.scope import bound_names
from dcompute_sim.fwbuild.syntax_nodes import nodes_of

IsKept = Callable[[str], bool]


def flatten(trees: Mapping[str, ast.Module], is_kept: IsKept, bases: Mapping[str, Collection[str]]) -> None:
    """Do so in all `trees`, one program, by module.

    Args:
        is_kept: whether something else uses an attribute of this name.
        bases: the attributes of the classes that are not part of the program but have subclasses in it.
    """
    for module, tree in trees.items():
        _put_classes_in_place(tree)
        while any(_flatten_part(trees, module, part, is_kept, bases) for part in _classes(tree)):
            pass
    _drop_unread(list(trees.values()), is_kept)


def _classes(tree: ast.Module) -> list[ast.ClassDef]:
    return [statement for statement in tree.body if isinstance(statement, ast.ClassDef)]


def _put_classes_in_place(tree: ast.Module) -> None:
    """Make `self.kind(...)` into `Kind(...)` where a class says `kind = Kind`, for a subclass to replace
    it."""
    names = {part.name for part in _classes(tree)}
    for owner in _classes(tree):
        for statement in list(owner.body):
            if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.Name):
                continue
            target = statement.targets[0]
            if isinstance(target, ast.Name) and statement.value.id in names:
                owner.body.remove(statement)
                _ExchangeAttribute(f"self.{target.id}", statement.value).visit(owner)


def _flatten_part(
    trees: Mapping[str, ast.Module],
    module: str,
    part: ast.ClassDef,
    is_kept: IsKept,
    bases: Mapping[str, Collection[str]],
) -> bool:
    tree = trees[module]
    uses = sum(isinstance(node, ast.Name) and node.id == part.name for node in nodes_of(tree))
    made = next(_made(tree, part.name), None)
    if made is None or uses != 1 or part.bases:
        return False
    owner, start, statement, attribute, call = made
    theirs = set(_members(owner)).union(*(bases.get(ast.unparse(base), ()) for base in owner.bases))
    stores = [
        n for t in trees.values() for n in nodes_of(t) if isinstance(n, ast.Attribute) and n.attr == attribute
    ]
    if theirs & set(_members(part)) or sum(not isinstance(n.ctx, ast.Load) for n in stores) != 1:
        return False
    begin = f"__init__.{part.name}@{module}.{owner.name}"
    private = {name for name in _members(part) if "@" in name}
    moved = {name: f"{name.partition('@')[0]}.{part.name}@{module}.{owner.name}" for name in private}
    for each in trees.values():
        rename(each, moved)
        _Skip(attribute).visit(each)
    for member in part.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            member.name = begin
    place = start.body.index(statement)
    begun = ast.Expr(ast.Call(ast.Attribute(ast.Name("self", ast.Load()), begin, ast.Load()), call.args, []))
    alias = [_alias(attribute)] if is_kept(attribute) else []
    start.body[place : place + 1] = [begun, *alias]
    owner.body += part.body
    tree.body.remove(part)
    return True


_Made = tuple[ast.ClassDef, ast.FunctionDef, ast.Assign, str, ast.Call]


def _made(tree: ast.Module, name: str) -> Iterator[_Made]:
    """Yield (class, its __init__, statement, attribute, call) where `self.attribute = name(...)` stands."""
    for owner in _classes(tree):
        for start in owner.body:
            if not isinstance(start, ast.FunctionDef) or start.name != "__init__":
                continue
            for statement in start.body:
                if not isinstance(statement, ast.Assign) or not isinstance(statement.value, ast.Call):
                    continue
                target, call = statement.targets[0], statement.value
                if isinstance(target, ast.Attribute) and ast.unparse(call.func) == name and not call.keywords:
                    yield owner, start, statement, target.attr, call


def _members(part: ast.ClassDef) -> Iterator[str]:
    """Return the names of methods, of what the class binds, and of what is set on self."""
    for statement in part.body:
        yield from (name for name in bound_names(statement) if not name.startswith("__"))
    attributes = [node for node in nodes_of(part) if isinstance(node, ast.Attribute)]
    stored = [node for node in attributes if not isinstance(node.ctx, ast.Load)]
    yield from (node.attr for node in stored if ast.unparse(node.value) == "self")


def _alias(attribute: str) -> ast.Assign:
    """Make an alias for those outside who name the part."""
    itself = ast.Name("self", ast.Load())
    return ast.Assign([ast.Attribute(ast.Name("self", ast.Load()), attribute, ast.Store())], itself)


class _Skip(ast.NodeTransformer):
    """`x.part` becomes `x`."""

    def __init__(self, attribute: str) -> None:
        self._attribute = attribute

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        skipped = node.attr == self._attribute and isinstance(node.ctx, ast.Load)
        return node.value if skipped else node


class _ExchangeAttribute(ast.NodeTransformer):
    def __init__(self, old: str, new: ast.Name) -> None:
        self._old = old
        self._new = new

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        return ast.Name(self._new.id, ast.Load()) if ast.unparse(node) == self._old else node


# --- methods of its own that an object was given ------------------------------------------------------


def settle_methods(trees: Sequence[ast.Module]) -> None:
    """Put `self.say(...)` in the place of `self._say(...)` where `__init__` says `self._say = self.say`."""
    nodes = [node for tree in trees for node in nodes_of(tree) if isinstance(node, ast.Attribute)]
    stored = Counter(node.attr for node in nodes if not isinstance(node.ctx, ast.Load))
    for tree in trees:
        for owner in _classes(tree):
            methods = {s.name for s in owner.body if isinstance(s, ast.FunctionDef)} - stored.keys()
            for start in [s for s in owner.body if isinstance(s, ast.FunctionDef) and s.name == "__init__"]:
                same = {a: m for a, m in _own_methods(start, methods).items() if stored[a] == 1 and "@" in a}
                start.body = [s for s in start.body if not _sets(s, same)]
                rename(owner, same)


def _own_methods(start: ast.FunctionDef, methods: Collection[str]) -> dict[str, str]:
    """Return attribute -> method that it is set to, be it by way of a variable."""
    found: dict[str, str] = {}
    for statement in start.body:
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            continue
        target, value = ast.unparse(statement.targets[0]), ast.unparse(statement.value)
        method = found.get(value, value.removeprefix("self."))
        if method in methods and (value in found or value == f"self.{method}"):
            found[target] = method
    return {target.removeprefix("self."): method for target, method in found.items()}


def _sets(statement: ast.stmt, attributes: Collection[str]) -> bool:
    if not isinstance(statement, ast.Assign):
        return False
    return any(ast.unparse(target).removeprefix("self.") in attributes for target in statement.targets)


# --- what nothing reads -------------------------------------------------------------------------------


def _drop_unread(trees: Sequence[ast.Module], is_kept: IsKept) -> None:
    """Leave out attributes that are only ever set to what costs nothing to leave out."""
    nodes = [node for tree in trees for node in nodes_of(tree)]
    read = Counter(n.attr for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load))
    methods = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}

    def is_unread(target: ast.expr) -> bool:
        if not isinstance(target, ast.Attribute):
            return False
        return not read[target.attr] and target.attr not in methods and not is_kept(target.attr)

    dropping = _Drop(is_unread)
    for tree in trees:
        dropping.visit(tree)


class _Drop(ast.NodeTransformer):
    def __init__(self, is_unread: Callable[[ast.expr], bool]) -> None:
        self._is_unread = is_unread

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        if not _has_no_effect(node.value):
            return node
        node.targets = [target for target in node.targets if not self._is_unread(target)]
        return node if node.targets else None

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST | None:
        return None if self._is_unread(node.target) and isinstance(node.value, ast.Constant) else node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if getattr(node, "body", None) == [] and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node


def _has_no_effect(value: ast.expr) -> bool:
    parts = (ast.Constant, ast.Name, ast.BinOp, ast.operator, ast.expr_context)
    return all(isinstance(node, parts) for node in nodes_of(value))
