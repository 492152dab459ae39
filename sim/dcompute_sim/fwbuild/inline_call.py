"""One function put into one place of another: its arguments, its locals, its returns."""

from __future__ import annotations

import ast
import copy
import itertools
from collections import Counter
from collections.abc import Callable
from typing import cast

from dcompute_sim.fwbuild.scope import local_names
from dcompute_sim.fwbuild.syntax_nodes import nodes_of

_Function = ast.FunctionDef
_Finish = Callable[[ast.expr], list[ast.stmt]]


class Impossible(Exception):
    """This function cannot be put into this place."""


def value_of(function: _Function) -> ast.expr | None:
    """Return what the function returns, if that is all it does."""
    only = function.body[0]
    return only.value if len(function.body) == 1 and isinstance(only, ast.Return) else None


class CallSite:
    """One caller, a copy to be changed, and what is put into it."""

    def __init__(self, caller: _Function, called: _Function, is_method: bool) -> None:
        self.caller = caller
        self.done = 0
        self._called = called
        self._is_method = is_method
        taken = {
            node.id for part in (caller, called) for node in nodes_of(part) if isinstance(node, ast.Name)
        }
        self._fresh = (name for n in itertools.count() if (name := f"i{n}") not in taken)

    def rewrite(self) -> None:
        if local_names(self.caller) & (_names(self._called) - local_names(self._called)):
            return  # what the called function means is something else here
        value = value_of(self._called)
        if value is not None:
            self._put_expressions(value)
        self.caller.body = self._statements(self.caller.body)

    # --- a function that is one expression ----------------------------------------------------------------

    def _put_expressions(self, value: ast.expr) -> None:
        site = self

        class Put(ast.NodeTransformer):
            def visit_Call(self, node: ast.Call) -> ast.expr:
                self.generic_visit(node)
                if not site._is_call(node):
                    return node
                given = dict(zip(site._parameters(), site._given(node), strict=True))
                names = Counter(n.id for n in nodes_of(value) if isinstance(n, ast.Name))
                others = dict(given)
                if site._is_method and names[site._parameters()[0]] <= 2:
                    others.pop(site._parameters()[0])
                if not all(map(_is_atom, others.values())):
                    return node
                site.done += 1
                return cast(ast.expr, _Substitute(given).visit(copy.deepcopy(value)))

        self.caller.body = [Put().visit(statement) for statement in self.caller.body]

    # --- a function of statements -------------------------------------------------------------------------

    def _statements(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        result: list[ast.stmt] = []
        for statement in statements:
            for field in ("body", "orelse", "finalbody"):
                inner = getattr(statement, field, None)
                if isinstance(inner, list):
                    setattr(statement, field, self._statements(inner))
            if isinstance(statement, ast.Try):
                for handler in statement.handlers:
                    handler.body = self._statements(handler.body)
            result += self._in_place_of(statement)
        return result

    def _in_place_of(self, statement: ast.stmt) -> list[ast.stmt]:
        value = getattr(statement, "value", None)
        if isinstance(value, ast.Call) and self._is_call(value):
            if isinstance(statement, ast.Expr):
                return self._body(value, lambda result: [] if _is_chain(result) else [ast.Expr(result)])
            if isinstance(statement, ast.Return):
                return self._body(value, None)
            if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                target = statement.targets[0]
                return self._body(value, lambda result: [ast.Assign([copy.deepcopy(target)], result)])
        expression = statement.test if isinstance(statement, ast.If) else value
        call = self._first_call(expression) if isinstance(expression, ast.expr) else None
        if call is None or isinstance(statement, ast.AugAssign):
            return [statement]
        name = next(self._fresh)
        before = self._body(call, lambda result: [ast.Assign([ast.Name(name, ast.Store())], result)])
        exchanged = _ExchangeExpression(call, ast.Name(name, ast.Load())).visit(statement)
        return [*before, cast(ast.stmt, exchanged)]

    def _first_call(self, node: ast.expr) -> ast.Call | None:
        """Return the call wanted, if nothing that matters is evaluated before it."""
        if isinstance(node, ast.Call):
            if self._is_call(node):
                return node
            parts: list[ast.expr] = [*node.args] if _is_chain(node.func) else [node.func]
        elif isinstance(node, ast.BinOp):
            parts = [node.left, node.right]
        elif isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.BoolOp):
            parts = [node.values[0]]
        elif isinstance(node, ast.UnaryOp):
            parts = [node.operand]
        elif isinstance(node, (ast.Subscript, ast.Attribute)):
            parts = [node.value]
        elif isinstance(node, ast.IfExp):
            parts = [node.test]
        else:
            return None
        for part in parts:
            if not _is_atom(part):
                return self._first_call(part)
        return None

    def _body(self, call: ast.Call, finish: _Finish | None) -> list[ast.stmt]:
        """Return the called function's statements; `finish` makes what stands for a `return` (None: a
        return)."""
        self.done += 1
        body = [copy.deepcopy(statement) for statement in self._called.body]
        nodes = [node for statement in body for node in nodes_of(statement)]
        stored = {n.id for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
        stored |= {n.name for n in nodes if isinstance(n, ast.ExceptHandler) and n.name}
        before: list[ast.stmt] = []
        given: dict[str, ast.expr] = {}
        for parameter, value in zip(self._parameters(), self._given(call), strict=True):
            if _is_atom(value) and parameter not in stored:
                given[parameter] = value
                continue
            name = next(self._fresh)
            before.append(ast.Assign([ast.Name(name, ast.Store())], value))
            given[parameter] = ast.Name(name, ast.Load())
        for local in sorted(stored - given.keys()):
            given[local] = ast.Name(next(self._fresh), ast.Load())
        body = [_Substitute(given).visit(statement) for statement in body]
        if finish is None:
            return [*before, *body, *([ast.Return()] if _falls_through(body) else [])]
        return before + _finished(body, finish)

    def _is_call(self, node: ast.Call) -> bool:
        function = node.func
        if self._is_method:
            found = isinstance(function, ast.Attribute) and function.attr == self._called.name
        else:
            found = isinstance(function, ast.Name) and function.id == self._called.name
        if found and (node.keywords or any(isinstance(argument, ast.Starred) for argument in node.args)):
            raise Impossible
        return found

    def _parameters(self) -> list[str]:
        return [argument.arg for argument in self._called.args.args]

    def _given(self, call: ast.Call) -> list[ast.expr]:
        given = [call.func.value, *call.args] if isinstance(call.func, ast.Attribute) else call.args
        if len(given) != len(self._called.args.args) or (self._is_method and not _is_chain(given[0])):
            raise Impossible
        return given


# --- returns ------------------------------------------------------------------------------------------


def _finished(statements: list[ast.stmt], finish: _Finish) -> list[ast.stmt]:
    """Return the statements with `finish` in the place of each return, at their end as well."""
    result: list[ast.stmt] = []
    for number, statement in enumerate(statements):
        rest = statements[number + 1 :]
        if isinstance(statement, ast.Return):
            return result + finish(statement.value or ast.Constant(None))
        if isinstance(statement, ast.Raise):
            return [*result, statement]
        if not _returns(statement):
            result.append(statement)
            continue
        if isinstance(statement, ast.If):
            if rest and _falls_through(statement.body) and _falls_through(statement.orelse):
                raise Impossible
            orelse = _finished(statement.orelse + (rest if _falls_through(statement.orelse) else []), finish)
            body = _finished(statement.body + (rest if _falls_through(statement.body) else []), finish)
            return [*result, ast.If(statement.test, body or [ast.Pass()], orelse)]
        if (rest and _falls_through([statement])) or not isinstance(statement, (ast.Try, ast.With)):
            raise Impossible
        statement.body = _finished(statement.body, finish) or [ast.Pass()]
        if isinstance(statement, ast.Try):
            if statement.orelse or any(map(_returns, statement.finalbody)):
                raise Impossible
            for handler in statement.handlers:
                handler.body = _finished(handler.body, finish) or [ast.Pass()]
        return [*result, statement]
    return result + finish(ast.Constant(None))


def _returns(statement: ast.stmt) -> bool:
    return any(isinstance(node, ast.Return) for node in nodes_of(statement))


def _falls_through(statements: list[ast.stmt]) -> bool:
    """Say whether what comes after them may be reached."""
    if not statements:
        return True
    last = statements[-1]
    if isinstance(last, (ast.Return, ast.Raise, ast.Continue, ast.Break)):
        return False
    if isinstance(last, ast.If):
        return _falls_through(last.body) or _falls_through(last.orelse)
    if isinstance(last, ast.With):
        return _falls_through(last.body)
    if isinstance(last, ast.Try):
        return _falls_through(last.body) or any(_falls_through(handler.body) for handler in last.handlers)
    return True


def _names(function: _Function) -> set[str]:
    return {node.id for node in nodes_of(function) if isinstance(node, ast.Name)}


# --- expressions --------------------------------------------------------------------------------------


def _is_atom(node: ast.expr) -> bool:
    return isinstance(node, (ast.Constant, ast.Name))


def _is_chain(node: ast.expr) -> bool:
    """Say whether it is a name, its attribute, and so on, or a constant."""
    return _is_atom(node) or (isinstance(node, ast.Attribute) and _is_chain(node.value))


class _Substitute(ast.NodeTransformer):
    """Puts other expressions in the place of names."""

    def __init__(self, given: dict[str, ast.expr]) -> None:
        self._given = given

    def visit_Name(self, node: ast.Name) -> ast.AST:
        value = self._given.get(node.id)
        if value is None:
            return node
        return ast.Name(value.id, node.ctx) if isinstance(value, ast.Name) else copy.deepcopy(value)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        value = self._given.get(node.name or "")
        if isinstance(value, ast.Name):
            node.name = value.id
        return self.generic_visit(node)


class _ExchangeExpression(ast.NodeTransformer):
    """Puts one expression in the place of another, that very node."""

    def __init__(self, old: ast.expr, new: ast.expr) -> None:
        self._old = old
        self._new = new

    def visit(self, node: ast.AST) -> ast.AST:
        return self._new if node is self._old else self.generic_visit(node)
