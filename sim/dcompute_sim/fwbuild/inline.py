"""Puts functions that are called in one place only into that place: each costs a small heap some 90 bytes.

The caller then does what the called did, in the same order. Where that cannot be written without a call, the
function stays: with defaults or inner functions, with a value returned out of a loop, in the condition of a
`while`. Names of attributes must tell whose they are (see mangle.qualify), as nothing here knows a type.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from dcompute_sim.fwbuild.inline_call import CallSite, Impossible, value_of
from dcompute_sim.fwbuild.syntax_nodes import nodes_of

_SMALL_NODES = 6  # an expression of so many is put into several places
_PLACES = 3
_Function = ast.FunctionDef
_NOT_PLAIN = (
    *(_Function, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
    *(ast.Yield, ast.YieldFrom, ast.Global, ast.Import, ast.ImportFrom),
)


def inline(trees: Sequence[ast.Module], is_kept: Callable[[str], bool]) -> None:
    """Do so in all `trees`, which are one program; what `is_kept` is called from elsewhere."""
    _drop_defaults(trees, is_kept)
    uses = {id(tree): _Uses(tree) for tree in trees}
    refused: set[int] = set()
    while (changed := _inline_one(trees, uses, is_kept, refused)) is not None:
        uses[id(changed)] = _Uses(changed)  # of the others nothing has changed


def _drop_defaults(trees: Sequence[ast.Module], is_kept: Callable[[str], bool]) -> None:
    """Leave out the defaults that no call uses."""
    of_all = {id(tree): _Uses(tree) for tree in trees}
    calls = [node for tree in trees for node in nodes_of(tree) if isinstance(node, ast.Call)]
    for tree in trees:
        local_calls = [node for node in nodes_of(tree) if isinstance(node, ast.Call)]
        for owner, function in _functions(tree):
            name = function.name
            if is_kept(name) or name.endswith("__"):
                continue
            if owner is tree:
                uses = of_all[id(tree)].of_function(name)
                made = [c for c in local_calls if isinstance(c.func, ast.Name) and c.func.id == name]
            else:
                uses = _of_method(of_all.values(), name)
                made = [c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr == name]
            given = len(function.args.args) - (owner is not tree)
            if uses == len(made) and all(len(call.args) == given and not call.keywords for call in made):
                function.args.defaults = []


def _inline_one(
    trees: Sequence[ast.Module], uses: Mapping[int, _Uses], is_kept: Callable[[str], bool], refused: set[int]
) -> ast.Module | None:
    """Return the tree in which it was done; None if there is nothing left to do."""
    for tree in trees:
        here = uses[id(tree)]
        for owner, function in _functions(tree):
            if id(function) in refused or is_kept(function.name) or not _is_plain(function):
                continue
            is_method = owner is not tree
            name = function.name
            count = _of_method(uses.values(), name) if is_method else here.of_function(name)
            most = _PLACES if _is_small(function) else 1
            callers = [f for _, f in _functions(tree) if f is not function and name in here.named_in[id(f)]]
            if 0 < count <= most and _replace(callers, function, is_method, count):
                owner.body.remove(function)
                owner.body[:] = owner.body or [ast.Pass()]
                return tree
            refused.add(id(function))
    return None


class _Uses:
    """How often names are used in a tree, and those that are set."""

    def __init__(self, tree: ast.Module) -> None:
        nodes = list(nodes_of(tree))
        attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
        names = [node for node in nodes if isinstance(node, ast.Name)]
        self.attributes = Counter(node.attr for node in attributes)
        self.set_attributes = {node.attr for node in attributes if not isinstance(node.ctx, ast.Load)}
        members = [s for node in nodes if isinstance(node, ast.ClassDef) for s in node.body]
        self.methods = Counter(member.name for member in members if isinstance(member, _Function))
        self._names = Counter(node.id for node in names if isinstance(node.ctx, ast.Load))
        self._set = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
        self.named_in = {id(function): _named(function) for _, function in _functions(tree)}

    def of_function(self, name: str) -> int:
        """Count its uses; 0 if that cannot be told."""
        return 0 if name in self._set else self._names[name]


def _of_method(trees: Collection[_Uses], name: str) -> int:
    """Tell how often a method is used in all trees; 0 if that cannot be told."""
    if sum(uses.methods[name] for uses in trees) > 1 or any(name in uses.set_attributes for uses in trees):
        return 0
    return sum(uses.attributes[name] for uses in trees)


def _named(function: _Function) -> set[str]:
    """Return what it calls, and more."""
    nodes = list(nodes_of(function))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def _functions(tree: ast.Module) -> Iterator[tuple[ast.Module | ast.ClassDef, _Function]]:
    for statement in tree.body:
        if isinstance(statement, _Function):
            yield tree, statement
        elif isinstance(statement, ast.ClassDef):
            yield from ((statement, member) for member in statement.body if isinstance(member, _Function))


def _is_plain(function: _Function) -> bool:
    arguments = function.args
    simple = not (arguments.defaults or arguments.vararg or arguments.kwarg or arguments.kwonlyargs)
    inner = [node for node in nodes_of(function) if isinstance(node, _NOT_PLAIN)]
    return simple and inner == [function] and not function.decorator_list and not function.name.endswith("__")


def _is_small(function: _Function) -> bool:
    value = value_of(function)
    parts = [] if value is None else [n for n in nodes_of(value) if not isinstance(n, ast.expr_context)]
    return 0 < len(parts) <= _SMALL_NODES


def _replace(callers: Sequence[_Function], function: _Function, is_method: bool, uses: int) -> bool:
    """Replace all calls; False, and nothing changed, if one of them cannot be or stands elsewhere."""
    rewritten = []
    for caller in callers:
        site = CallSite(copy.deepcopy(caller), function, is_method)
        try:
            site.rewrite()
        except Impossible:
            return False
        if site.done:
            rewritten.append((caller, site))
    if sum(site.done for _, site in rewritten) != uses:
        return False
    for caller, site in rewritten:
        caller.body = site.caller.body
    return True
