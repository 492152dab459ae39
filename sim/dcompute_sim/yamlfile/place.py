"""From a path of keys and indices to the place in the file that it means."""

from __future__ import annotations

from collections.abc import Iterable

from dcompute_sim.yamlfile.problems import Path, Problem, Span
from dcompute_sim.yamlfile.tree import Map, Node, Seq


def at(root: Map, path: Path, message: str, hint: str = "", *, key: bool = False) -> Problem:
    """Return a problem at `path`: at its value, or (`key`) at its key."""
    _, key_span, node = locate(root, path)
    return Problem(key_span if key and key_span else node.span, message, hint)


def locate(root: Map, path: Iterable[int | str]) -> tuple[Path, Span | None, Node]:
    """Return the deepest node on `path`, with its real path and its key's place.

    pydantic puts tags of unions into its paths (`faults.2.crash.for`); parts not in the file are passed.
    """
    node: Node = root
    real: list[int | str] = []
    key_span: Span | None = None
    for part in path:
        if isinstance(node, Map):
            key = next((key for key in node.entries if key == part or str(key) == str(part)), None)
            if key is not None or part in node.entries:
                key_span, node = node.keys[key], node.entries[key]
                real.append(part)
        elif isinstance(node, Seq) and isinstance(part, int) and part < len(node.items):
            key_span, node = node.items[part].span, node.items[part]
            real.append(part)
    return tuple(real), key_span, node
