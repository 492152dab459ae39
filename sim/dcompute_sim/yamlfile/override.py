"""`--set path.to.key=value`: values of the command line in the place of a file's; they keep their places."""

from __future__ import annotations

from collections.abc import Sequence

from dcompute_sim.yamlfile.problems import LocatedError, Problem, Source, Span, fail, shown
from dcompute_sim.yamlfile.tree import Leaf, Map, Node, Seq, decode, parse


def override(root: Map, settings: Sequence[str]) -> Map:
    """Return `root` with each `path.to.key=value` applied. Raises LocatedError with all that do not fit."""
    problems: list[Problem] = []
    for setting in settings:
        try:
            path, value = parse_setting(setting)
            root = with_value(root, path, value)
        except LocatedError as error:
            problems += error.problems
    if problems:
        raise LocatedError(problems)
    return root


def parse_setting(setting: str) -> tuple[list[str], Node]:
    """Split `fleet.esp.count=50` into path and value; the value is YAML."""
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
    """Return the same tree, its places shown in `source`."""
    span = Span(source, node.span.line, node.span.column, node.span.length)
    if isinstance(node, Leaf):
        return Leaf(span, node.value, node.text, node.plain)
    if isinstance(node, Seq):
        return Seq(span, [_placed(item, source) for item in node.items])
    keys = {key: Span(source, at.line, at.column, at.length) for key, at in node.keys.items()}
    return Map(span, {key: _placed(entry, source) for key, entry in node.entries.items()}, keys)


def with_value(root: Map, path: Sequence[str], value: Node) -> Map:
    """Return `root` with `value` at `path`, made where there is none yet. Raises LocatedError."""
    changed = _replaced(root, path, value, value.span)
    assert isinstance(changed, Map)
    return changed


def _replaced(node: Node | None, path: Sequence[str], value: Node, where: Span) -> Node:
    """Return `node` with `value` at `path`; nothing is changed in place, for aliases share nodes."""
    if not path:
        return value
    head, rest = path[0], path[1:]
    if isinstance(node, Seq):
        if not head.isdecimal() or int(head[:9]) >= len(node.items):
            hint = f"its entries are 0 to {len(node.items) - 1}" if node.items else "it is empty"
            fail(where, f"`{head}` is not an entry of this list", hint)
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
