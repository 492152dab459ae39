"""From files to concrete trees: `include`, `--set`, `matrix` and `${vars}`, each keeping its places."""

from __future__ import annotations

import contextlib
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dcompute_sim.scenario.problems import Problem, ScenarioError, Source, Span, choice_hint, fail, shown
from dcompute_sim.scenario.tree import MAX_BYTES, MAX_NODES, Leaf, Map, Node, Seq, decode, parse, scalar

MAX_INCLUDES = 50
MAX_MATRIX = 1000
_REFERENCE = re.compile(r"\$\$|\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


# --- files and include ------------------------------------------------------------------------------------


def read(path: Path) -> Map:
    """The tree of a file and of all it includes."""
    return _read(path, (), [], None)


def files_of(path: Path) -> list[Path]:
    """The file and all it includes, directly or not; of one that is wrong, as far as it could be read."""
    files: list[Path] = []
    with contextlib.suppress(ScenarioError):
        _read(path, (), files, None)
    return files


def _read(path: Path, parents: tuple[Path, ...], files: list[Path], asked: Span | None) -> Map:
    """One file laid over what it includes. `files`: all read so far, this one is added."""
    missing = asked or Span(Source(str(path), ()), 1, 1)
    files.append(path)
    if len(files) > MAX_INCLUDES:
        fail(missing, f"more than {MAX_INCLUDES} files are included", "include less")
    try:
        data = _bytes(path)
    except OSError as error:
        fail(missing, f"{path} cannot be read: {error.strerror or error}", "check the path")
    except ValueError as error:  # a NUL in the path
        fail(missing, f"this is no path: {error}", "check the path")
    root = parse(decode(data, str(path)))
    if root is None:
        where = Span(Source(str(path), ("",)), 1, 1)
        fail(where, "the file is empty", "`dcompute new NAME` writes a starter")
    if not isinstance(root, Map):
        found = "a list" if isinstance(root, Seq) else shown(root.value)
        message = f"a scenario is a mapping (`key: value` lines); this is {found}"
        fail(root.span, message, "see docs/scenarios.md")
    includes = root.entries.pop("include", None)
    base = Map(root.span)
    for leaf in _texts(includes, "include"):
        target = path.parent / leaf.text
        trail = (*parents, path.resolve())
        if target.resolve() in trail:
            fail(leaf.span, f"`{leaf.text}` ends up including itself", "break the circle")
        base = _overlay(base, _read(target, trail, files, leaf.span))
    return _overlay(base, root)


def _bytes(path: Path) -> bytes:
    """The file's bytes, or enough of them to see that there are too many."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _texts(node: Node | None, key: str) -> list[Leaf]:
    """A text or a list of texts."""
    if node is None:
        return []
    leaves = node.items if isinstance(node, Seq) else [node]
    for leaf in leaves:
        if not isinstance(leaf, Leaf) or not isinstance(leaf.value, str) or not leaf.value:
            fail(leaf.span, f"`{key}` takes a file name or a list of file names", f"write `{key}: base.yaml`")
    return [leaf for leaf in leaves if isinstance(leaf, Leaf)]


def _overlay(base: Map, top: Map) -> Map:
    """`top` over `base`: mappings are merged key by key, anything else is replaced."""
    merged = Map(top.span, dict(base.entries), dict(base.keys))
    for key, node in top.entries.items():
        below = merged.entries.get(key)
        merged.entries[key] = (
            _overlay(below, node) if isinstance(below, Map) and isinstance(node, Map) else node
        )
        merged.keys[key] = top.keys[key]
    return merged


# --- --set ------------------------------------------------------------------------------------------------


def override(root: Map, settings: Sequence[str]) -> Map:
    """`root` with each `path.to.key=value` applied. Raises ScenarioError with all that do not fit."""
    problems: list[Problem] = []
    for setting in settings:
        try:
            path, value = parse_setting(setting)
            root = _with(root, path, value, value.span)
        except ScenarioError as error:
            problems += error.problems
    if problems:
        raise ScenarioError(problems)
    return root


def parse_setting(setting: str) -> tuple[list[str], Node]:
    """`fleet.esp.count=50` -> path and value; the value is YAML."""
    printable = "".join(char if char.isprintable() else "?" for char in setting)
    source = Source(f"--set {printable}", (printable,))
    path, equals, text = setting.partition("=")
    parts = path.strip().split(".")
    if not equals or not all(parts):
        fail(Span(source, 1, 1, len(setting) or 1), "not `path.to.key=value`", "like `fleet.esp.count=50`")
    # padded, so that columns are those of the whole setting
    decode(setting.encode("utf-8", "replace"), source.name)
    padded = Source(source.name, (" " * (len(path) + 1) + text,))
    node = parse(padded)
    span = Span(source, 1, len(path) + 2, len(text) or 1)
    return parts, Leaf(span, None, "", True) if node is None else _placed(node, source)


def _placed(node: Node, source: Source) -> Node:
    """The same tree, its places shown in `source`."""
    span = Span(source, node.span.line, node.span.column, node.span.length)
    if isinstance(node, Leaf):
        return Leaf(span, node.value, node.text, node.plain)
    if isinstance(node, Seq):
        return Seq(span, [_placed(item, source) for item in node.items])
    keys = {key: Span(source, at.line, at.column, at.length) for key, at in node.keys.items()}
    return Map(span, {key: _placed(entry, source) for key, entry in node.entries.items()}, keys)


def _with(root: Map, path: Sequence[str], value: Node, where: Span) -> Map:
    changed = _replaced(root, path, value, where)
    assert isinstance(changed, Map)
    return changed


def _replaced(node: Node | None, path: Sequence[str], value: Node, where: Span) -> Node:
    """`node` with `value` at `path`; nothing is changed in place, for aliases share nodes."""
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(node, Seq):
        if not head.isdecimal() or int(head[:9]) >= len(node.items):
            hint = f"its entries are 0 to {len(node.items) - 1}" if node.items else "it is empty"
            fail(where, f"`{head}` is no entry of this list", hint)
        items = list(node.items)
        items[int(head)] = _replaced(items[int(head)], rest, value, where)
        return Seq(node.span, items)
    if node is not None and not isinstance(node, Map) and node.value is not None:
        fail(where, f"there is nothing below {shown(node.value)} to set `{head}` in", "check the path")
    known = node if isinstance(node, Map) else Map(where)
    key = next((key for key in known.entries if str(key) == head), head)
    entries, keys = dict(known.entries), dict(known.keys)
    entries[key] = _replaced(entries.get(key), rest, value, where)
    keys[key] = where if not rest else keys.get(key, where)
    return Map(known.span, entries, keys)


# --- matrix -----------------------------------------------------------------------------------------------


def variations(root: Map, top_level: Sequence[str], settings: Sequence[str]) -> Iterator[tuple[str, Map]]:
    """Each combination of the `matrix` with its label, settings applied; the one plain tree without a matrix.

    An axis named like a top-level key, or with dots, sets that; any other sets the variable of its name.
    """
    _declared(root, settings)
    root = override(root, settings)
    matrix = root.entries.get("matrix")
    root = Map(root.span, {key: node for key, node in root.entries.items() if key != "matrix"}, root.keys)
    if matrix is None:
        yield "", root
        return
    fixed = [parse_setting(setting)[0] for setting in settings]  # what the command line says is not varied
    axes = [axis for axis in _axes(matrix, top_level) if axis.path not in fixed]
    if math.prod(len(axis.values) for axis in axes) > MAX_MATRIX:
        fail(matrix.span, f"the matrix has more than {MAX_MATRIX} combinations", "shorten its lists")
    for combination in itertools.product(*(axis.values for axis in axes)):
        tree = root
        for axis, value in zip(axes, combination, strict=True):
            tree = _with(tree, axis.path, value, value.span)
        named = zip((axis.name for axis in axes), map(_label, combination), strict=True)
        yield ",".join(f"{name}={text}" for name, text in named), tree


def _declared(root: Map, settings: Sequence[str]) -> None:
    """Complain about settings of variables that the file does not have: nothing would come of them."""
    variables = root.entries.get("vars")
    known = [str(key) for key in variables.entries] if isinstance(variables, Map) else []
    problems = []
    for setting in settings:
        path, value = parse_setting(setting)
        if path[0] == "vars" and (len(path) < 2 or path[1] not in known):
            hint = choice_hint(path[-1], known)
            problems.append(Problem(value.span, f"no variable `{'.'.join(path[1:])}` to set", hint))
    if problems:
        raise ScenarioError(problems)


@dataclass(frozen=True)
class _Axis:
    name: str
    path: list[str]
    values: list[Node]


def _axes(matrix: Node, top_level: Sequence[str]) -> list[_Axis]:
    if not isinstance(matrix, Map) or not matrix.entries:
        fail(matrix.span, "`matrix` is a mapping of names to lists", "`matrix: {keepalive: [10s, 60s]}`")
    axes = []
    for key, values in matrix.entries.items():
        name = str(key)
        if not isinstance(values, Seq) or not values.items:
            fail(values.span, f"`{name}` needs a list of values", f"write `{name}: [10s, 60s]`")
        path = name.split(".") if "." in name or name in top_level else ["vars", name]
        axes.append(_Axis(name, path, values.items))
    return axes


def _label(node: Node) -> str:
    return node.text if isinstance(node, Leaf) else f"line {node.span.line}"


# --- vars -------------------------------------------------------------------------------------------------


def substitute(root: Map) -> Map:
    """`root` without `vars`, each `${name}` replaced. Raises ScenarioError with all unknown names."""
    variables = root.entries.get("vars")
    rest = Map(root.span, {key: node for key, node in root.entries.items() if key != "vars"}, root.keys)
    if variables is None:
        known = Map(root.span)
    elif isinstance(variables, Map):
        known = variables
    else:
        fail(variables.span, "`vars` is a mapping of names to values", "`vars: {nodes: 100}`")
    work = _Substitution(known)
    result = work.node(rest, ())
    for key, node in known.entries.items():  # also those nobody uses: a typo in one must not wait for its use
        work.node(node, (str(key),))
    if work.problems:
        raise ScenarioError(work.problems)
    assert isinstance(result, Map)
    return result


class _Substitution:
    """One pass over a tree."""

    def __init__(self, variables: Map) -> None:
        self._variables = {str(key): node for key, node in variables.entries.items()}
        self._budget = MAX_NODES
        self.problems: list[Problem] = []
        for key, span in variables.keys.items():
            if not _NAME.fullmatch(str(key)):
                self.problems.append(Problem(span, f"{shown(key)} is no name for a variable", "use letters"))

    def node(self, node: Node, inside: tuple[str, ...]) -> Node:
        self._budget -= 1
        if self._budget < 0:
            fail(node.span, f"aliases and variables make more than {MAX_NODES:,} values", "repeat less")
        if isinstance(node, Seq):
            return Seq(node.span, [self.node(item, inside) for item in node.items])
        if isinstance(node, Map):
            entries = {key: self.node(entry, inside) for key, entry in node.entries.items()}
            return Map(node.span, entries, node.keys)
        if isinstance(node.value, str) and "$" in node.value:
            return self._leaf(node, inside)
        return node

    def _leaf(self, leaf: Leaf, inside: tuple[str, ...]) -> Node:
        whole = _REFERENCE.fullmatch(leaf.text)
        if whole is not None and whole[1] is not None:
            return self._value(whole[1], leaf, inside) or leaf
        text = _REFERENCE.sub(lambda found: self._inline(found, leaf, inside), leaf.text)
        if len(text) > 10_000:
            fail(leaf.span, "variables make this text longer than 10,000 characters", "repeat less")
        return Leaf(leaf.span, scalar(text) if leaf.plain else text, text, leaf.plain)

    def _inline(self, found: re.Match[str], leaf: Leaf, inside: tuple[str, ...]) -> str:
        if found[1] is None:
            return "$"  # `$$` stands for one
        value = self._value(found[1], leaf, inside)
        if value is None:
            return found[0]
        if not isinstance(value, Leaf):
            self._complain(leaf, f"`{found[0]}` is a list or mapping: it cannot stand inside a text")
            return ""
        return value.text

    def _value(self, name: str, leaf: Leaf, inside: tuple[str, ...]) -> Node | None:
        """The variable's value, itself substituted, placed where it is used; None when there is none."""
        if name not in self._variables:
            self._complain(leaf, f"no variable `{name}`", choice_hint(name, self._variables))
            return None
        if name in inside:
            self._complain(leaf, f"the variable `{name}` contains itself")
            return None
        value = self.node(self._variables[name], (*inside, name))
        return Leaf(leaf.span, value.value, value.text, value.plain) if isinstance(value, Leaf) else value

    def _complain(self, leaf: Leaf, message: str, hint: str = "") -> None:
        self.problems.append(Problem(leaf.span, message, hint))
