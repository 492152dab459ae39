"""Merges a program's modules into few, with short names, so that it takes less of a small heap.

A module costs a board some hundred bytes, and a name its letters and a dozen bytes more, however private. So
a module moves to where it is first imported; constants are put in where they are used; and what is private
to a class or a module, or an argument that nobody names, gets a letter that others use as well. The program
does the same in the same order: whatever else can be referred to from outside keeps its name.
"""

from __future__ import annotations

import ast
import itertools
import string
from collections.abc import Collection, Iterator, Mapping

_ON_A_BOARD = "sys.implementation.name == 'micropython'"
_Scalar = int | str | bytes


class BundleError(ValueError):
    """The sources use something that this does not merge; the message names it."""


def bundle(sources: Mapping[str, str], entries: Mapping[str, Collection[str]]) -> dict[str, str]:
    """The merged modules' source text by name.

    Args:
        sources: source text by module name.
        entries: the modules that remain, each after those it imports, with the names that others take from
            them; all other modules become part of the one entry that imports them.
    """
    program = _Program(sources, entries)
    return {entry: program.merge(entry) for entry in entries}


class _Program:
    def __init__(self, sources: Mapping[str, str], entries: Mapping[str, Collection[str]]) -> None:
        self.trees = {name: _Plain().visit(ast.parse(text, name)) for name, text in sources.items()}
        self.entries = entries
        nodes = [node for tree in self.trees.values() for node in ast.walk(tree)]
        self.keywords = {node.arg for node in nodes if isinstance(node, ast.keyword)}
        self.attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        self.identifiers = _identifiers(self.trees.values())
        self.constants: dict[tuple[str, str], _Scalar] = {}
        self.home: dict[str, str] = {}  # merged module -> entry

    def merge(self, entry: str) -> str:
        merger = _Merger(self, entry)
        merger.take_in(entry)
        tree = ast.Module(body=merger.body, type_ignores=[])
        _shorten_private_attributes(tree, self.attributes)
        _shorten_arguments(tree, self.keywords, self.entries[entry])
        return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


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
        self._letters = _short_names(string.ascii_uppercase, program.identifiers)

    def take_in(self, module: str) -> None:
        """Append `module`, and before what imports them, the modules it imports."""
        program = self._program
        if program.home.setdefault(module, self._entry) != self._entry:
            raise BundleError(
                f"{module} is imported by {program.home[module]} and {self._entry}: make it an entry"
            )
        names = self._names[module] = {}
        statements = list(_taken_branches(program.trees[module].body))
        for name in _defined(statements):
            names[name] = name if name in self._public else next(self._letters)
        bound = [name for statement in statements for name in _bound(statement)]
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
        """What stands for `name` of `module` in the merged module."""
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
        self._local = outer | _local_names(node)
        self.generic_visit(node)
        self._local = outer
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.bases = [self.visit(base) for base in node.bases]
        members = [name for statement in node.body for name in _bound(statement)]
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
            raise BundleError(f"{self._module}: `{ast.unparse(node)}` of a name that is merged")
        return node


# --- what a statement says --------------------------------------------------------------------------


def _taken_branches(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements, and in the place of an `if` on being on a board, its branch."""
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
    """(name, value) of `NAME = 1`, `NAME = const(1)`, `NAME = "text"`."""
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


def _bound(statement: ast.stmt) -> list[str]:
    """Names that a statement of a module or class binds in it."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return [statement.name]
    return [n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]


def _defined(statements: list[ast.stmt]) -> list[str]:
    """Names of a module, imports and constants apart."""
    names = [n for s in statements if not _constant(s) for n in _bound(s)]
    return [name for name in dict.fromkeys(names) if name != "__all__"]


def _local_names(function: ast.FunctionDef) -> set[str]:
    nodes = list(ast.walk(function))
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    names |= {node.name for node in nodes if isinstance(node, ast.ExceptHandler) and node.name}
    for node in nodes:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name for alias in node.names}
    return names.difference(*(node.names for node in nodes if isinstance(node, ast.Global)))


def _identifiers(trees: Collection[ast.AST]) -> set[str]:
    nodes = [node for tree in trees for node in ast.walk(tree)]
    return {node.id for node in nodes if isinstance(node, ast.Name)} | {
        node.arg for node in nodes if isinstance(node, ast.arg)
    }


# --- short names ------------------------------------------------------------------------------------


def _short_names(letters: str, taken: Collection[str]) -> Iterator[str]:
    for length in itertools.count(1):
        for name in map("".join, itertools.product(letters, repeat=length)):
            if name not in taken:
                yield name


def _private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def _shorten_private_attributes(tree: ast.Module, taken: Collection[str]) -> None:
    """Rename the `_attributes` of each class; every class uses the same few letters."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _private(node.attr) and ast.unparse(node.value) != "self":
            raise BundleError(f"{ast.unparse(node)}: private, and not of self")
    for name, node in classes.items():
        if any(isinstance(base, ast.Name) and base.id in classes for base in node.bases):
            raise BundleError(f"{name}: a class whose base is merged with it is not supported")
        defined = {n for statement in node.body for n in _bound(statement)} | {
            part.attr
            for part in ast.walk(node)
            if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store)
        }
        private = sorted(filter(_private, defined))
        short = dict(zip(private, _short_names(string.ascii_lowercase, taken), strict=False))
        for part in ast.walk(node):
            if isinstance(part, ast.Attribute):
                part.attr = short.get(part.attr, part.attr)
            elif isinstance(part, ast.FunctionDef):
                part.name = short.get(part.name, part.name)
        for statement in node.body:
            for target in statement.targets if isinstance(statement, ast.Assign) else ():
                if isinstance(target, ast.Name):
                    target.id = short.get(target.id, target.id)


def _shorten_arguments(tree: ast.Module, keywords: Collection[str | None], public: Collection[str]) -> None:
    """Rename the arguments that no call names; those of what is public may be named by anybody."""
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef) and statement.name not in public:
            _shorten_arguments_of(statement, keywords)
        elif isinstance(statement, ast.ClassDef):
            for method in statement.body:
                if isinstance(method, ast.FunctionDef) and (
                    statement.name not in public or _private(method.name)
                ):
                    _shorten_arguments_of(method, keywords)


def _shorten_arguments_of(function: ast.FunctionDef, keywords: Collection[str | None]) -> None:
    nodes = list(ast.walk(function))
    if any(isinstance(node, (ast.FunctionDef, ast.Lambda)) for node in nodes[1:]):
        return
    arguments = [node for node in nodes if isinstance(node, ast.arg)]
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    fresh = _short_names(string.ascii_lowercase, used)
    short = {a.arg: next(fresh) for a in arguments if a.arg != "self" and a.arg not in keywords}
    for node in nodes:
        if isinstance(node, ast.Name):
            node.id = short.get(node.id, node.id)
        elif isinstance(node, ast.arg):
            node.arg = short.get(node.arg, node.arg)
