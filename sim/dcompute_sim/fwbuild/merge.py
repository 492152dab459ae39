"""Merges a program's modules into few and makes them smaller, so that it takes less of a small heap.

A module, a class, a function costs a board some hundred bytes, a name its letters and a dozen bytes more,
however private. So a module moves to where it is first imported, constants are put in where they are used,
and the package's other steps do the rest. The program does the same in the same order: whatever else can be
referred to from outside keeps its name.
"""

from __future__ import annotations

import ast
import string
from collections.abc import Collection, Iterator, Mapping

from dcompute_sim.fwbuild import mangle
from dcompute_sim.fwbuild.build_errors import BuildError
from dcompute_sim.fwbuild.flatten import flatten, settle_methods
from dcompute_sim.fwbuild.inline import inline
from dcompute_sim.fwbuild.pool_strings import pool_strings
from dcompute_sim.fwbuild.scope import bound_names, local_names
from dcompute_sim.fwbuild.share_locals import share_locals
from dcompute_sim.fwbuild.syntax_nodes import nodes_of

_ON_A_BOARD = "sys.implementation.name == 'micropython'"
_Scalar = int | str | bytes


def merge(
    sources: Mapping[str, str],
    entries: Mapping[str, Collection[str]],
    kept: Collection[str] | None = None,
    bases: Mapping[str, Collection[str]] | None = None,
) -> dict[str, str]:
    """Return the merged modules' source text by name.

    Args:
        sources: source text by module name.
        entries: the modules that remain, each after those it imports, with the names that others take from
            them; all other modules become part of the one entry that imports them.
        kept: attributes that others use, be they the program's or a library's; all other public ones get
            letters. None: all keep their names.
        bases: the attributes of each class that has a subclass in the program but is no part of it.
    """
    return _Program(sources, entries, kept, bases or {}).merged()


class _Program:
    def __init__(
        self,
        sources: Mapping[str, str],
        entries: Mapping[str, Collection[str]],
        kept: Collection[str] | None,
        bases: Mapping[str, Collection[str]],
    ) -> None:
        self.trees = {name: _Plain().visit(ast.parse(text, name)) for name, text in sources.items()}
        self.entries = entries
        self._kept = kept
        self._bases = bases
        if kept is not None:
            of_modules = {name for tree in self.trees.values() for s in tree.body for name in bound_names(s)}
            mangle.public_attributes(list(self.trees.values()), of_modules.union(kept))
        nodes = [node for tree in self.trees.values() for node in nodes_of(tree)]
        self.keywords = {node.arg for node in nodes if isinstance(node, ast.keyword)}
        self.attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        self.identifiers = {node.id for node in nodes if isinstance(node, ast.Name)} | {
            node.arg for node in nodes if isinstance(node, ast.arg)
        }
        self.constants: dict[tuple[str, str], _Scalar] = {}
        self.home: dict[str, str] = {}  # merged module -> entry

    def merged(self) -> dict[str, str]:
        """Return each entry's source text."""
        trees = {entry: self._merge(entry) for entry in self.entries}
        public = set().union(*self.entries.values())
        flatten(trees, self._is_kept, self._bases)
        for _ in range(2):  # what a part was given to call may be a method like others now
            inline(list(trees.values()), lambda name: name in public or self._is_kept(name))
            settle_methods(list(trees.values()))
        texts = {}
        for entry, tree in trees.items():
            mangle.private_attributes(tree, self.attributes)
            mangle.arguments(tree, self.keywords, self.entries[entry])
            share_locals(tree)
            texts[entry] = ast.unparse(ast.fix_missing_locations(tree)) + "\n"
        return texts

    def _merge(self, entry: str) -> ast.Module:
        merger = _Merger(self, entry)
        merger.take_in(entry)
        tree = ast.Module(body=merger.body, type_ignores=[])
        mangle.qualify(tree, entry)
        pool_strings(tree, merger.fresh_name())
        return tree

    def _is_kept(self, attribute: str) -> bool:
        return not mangle.is_private(attribute) and (self._kept is None or attribute in self._kept)


class _Plain(ast.NodeTransformer):
    """Leaves out what only CPython and people read."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._without_documentation(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._without_documentation(node)

    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self._without_documentation(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        assignment = ast.Assign(targets=[node.target], value=node.value)
        return self.generic_visit(ast.copy_location(assignment, node))

    def visit_Try(self, node: ast.Try) -> ast.AST | None:
        if all(isinstance(s, ast.ImportFrom) and s.module == "typing" for s in node.body):
            return None
        return self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        return ast.Constant(True) if ast.unparse(node) == _ON_A_BOARD else self.generic_visit(node)

    def _without_documentation(self, node: ast.FunctionDef | ast.ClassDef | ast.Module) -> ast.AST:
        first = node.body[0] if node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)


class _Merger:
    """Makes one entry."""

    def __init__(self, program: _Program, entry: str) -> None:
        self.body: list[ast.stmt] = []
        self._program = program
        self._entry = entry
        self._imported: set[str] = set()
        self._names: dict[str, dict[str, str]] = {}  # module -> name in it -> name in the merged one
        self._public = program.entries[entry]
        self._letters = mangle.short_names(string.ascii_uppercase, program.identifiers)

    def fresh_name(self) -> str:
        """Return a name for the merged module that nothing in it has."""
        return next(self._letters)

    def take_in(self, module: str) -> None:
        """Append `module`, and before what imports them, the modules it imports."""
        program = self._program
        if program.home.setdefault(module, self._entry) != self._entry:
            raise BuildError(
                f"{module} is imported by {program.home[module]} and {self._entry}: make it an entry"
            )
        names = self._names[module] = {}
        statements = list(_taken_branches(program.trees[module].body))
        defined = [n for s in statements if not _constant(s) for n in bound_names(s)]
        for name in dict.fromkeys(n for n in defined if n != "__all__"):
            names[name] = name if name in self._public else next(self._letters)
        bound = [name for statement in statements for name in bound_names(statement)]
        modules: dict[str, str] = {}  # name here -> merged module
        for statement in statements:
            if isinstance(statement, ast.ImportFrom):
                self._import_from(module, statement)
            elif isinstance(statement, ast.Import):
                for alias in statement.names:
                    self._import(alias, modules)
            elif _assigned(statement) == ["__all__"]:
                continue
            elif (constant := _constant(statement)) and bound.count(constant[0]) == 1:
                program.constants[module, constant[0]] = constant[1]
            else:
                self.body.append(_Names(self, module, modules).visit(statement))

    def _import_from(self, module: str, statement: ast.ImportFrom) -> None:
        source = statement.module or ""
        program = self._program
        if (source, statement.names[0].name) == ("micropython", "const"):
            return
        if source in program.trees and source not in program.entries and source not in self._names:
            self.take_in(source)
        left = []
        for alias in statement.names:
            here = alias.asname or alias.name
            if (source, alias.name) in program.constants:
                program.constants[module, here] = program.constants[source, alias.name]
            elif source in self._names:
                self._names[module][here] = self._names[source][alias.name]
            else:
                left.append(alias)
                self._names[module][here] = here
        if left:
            self.body.append(ast.ImportFrom(module=source, names=left, level=0))

    def _import(self, alias: ast.alias, modules: dict[str, str]) -> None:
        program = self._program
        if alias.name in program.trees and alias.name not in program.entries:
            if alias.name not in self._names:
                self.take_in(alias.name)
            modules[alias.asname or alias.name] = alias.name
        elif ast.unparse(alias) not in self._imported:
            self._imported.add(ast.unparse(alias))
            self.body.append(ast.Import(names=[alias]))

    def name(self, module: str, name: str, node: ast.expr) -> ast.expr:
        """Return what stands for `name` of `module` in the merged module."""
        if (module, name) in self._program.constants:
            return ast.Constant(self._program.constants[module, name])
        if isinstance(node, ast.Name):
            node.id = self._names[module].get(name, name)
            return node
        return ast.Name(self._names[module][name], ast.Load())


class _Names(ast.NodeTransformer):
    """Puts the merged module's names and constants in the place of one module's own."""

    def __init__(self, merger: _Merger, module: str, modules: Mapping[str, str]) -> None:
        self._merger = merger
        self._module = module
        self._modules = modules
        self._local: set[str] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        outer = self._local
        if not self._local and node.name in self._merger._names[self._module]:
            node.name = self._merger._names[self._module][node.name]
        self._local = outer | local_names(node)
        self.generic_visit(node)
        self._local = outer
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.bases = [self.visit(base) for base in node.bases]
        members = [name for statement in node.body for name in bound_names(statement)]
        self._local = set(members)
        node.body = [self.visit(statement) for statement in node.body]
        self._local = set()
        node.name = self._merger._names[self._module][node.name]
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return node if node.id in self._local else self._merger.name(self._module, node.id, node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id in self._modules:
            return self._merger.name(self._modules[node.value.id], node.attr, node)
        return self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> ast.AST:
        if self._merger._names[self._module].keys() & set(node.names):
            raise BuildError(f"{self._module}: `{ast.unparse(node)}` of a name that is merged")
        return node


# --- what a statement says --------------------------------------------------------------------------


def _taken_branches(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements, and in the place of an `if` on being on a board, its branch."""
    known: set[str] = set()
    for statement in statements:
        if (
            isinstance(statement, ast.If)
            and isinstance(statement.test, ast.Name)
            and statement.test.id in known
        ):
            yield from statement.body
            continue
        constant = _constant(statement)
        if constant and constant[1] is True:
            known.add(constant[0])
        yield statement


def _constant(statement: ast.stmt) -> tuple[str, _Scalar] | None:
    """Return (name, value) of `NAME = 1`, `NAME = const(1)`, `NAME = "text"`."""
    names = _assigned(statement)
    if len(names) != 1 or not names[0].isupper() or not isinstance(statement, ast.Assign):
        return None
    value = statement.value
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "const":
        value = ast.Constant(
            eval(compile(ast.Expression(value.args[0]), "const", "eval"), {"__builtins__": {}})
        )
    if isinstance(value, ast.Constant) and isinstance(value.value, _Scalar):
        return names[0], value.value
    return None


def _assigned(statement: ast.stmt) -> list[str]:
    if not isinstance(statement, ast.Assign):
        return []
    return [target.id for target in statement.targets if isinstance(target, ast.Name)]
