"""A file and what it includes, as one tree in which every value keeps its place."""

from __future__ import annotations

import contextlib
from pathlib import Path

from dcompute_sim.yamlfile.problems import LocatedError, Source, Span, fail, shown
from dcompute_sim.yamlfile.tree import MAX_BYTES, Leaf, Map, Node, Seq, decode, parse

MAX_INCLUDES = 50


def read(path: Path, *, noun: str, hint: str) -> Map:
    """Read the tree of a file and of all it includes. Raises LocatedError.

    Args:
        noun: what such a file is, as `a scenario`.
        hint: where to read what is in one; shown where the file holds something else.
    """
    return _Reader(noun, hint).read(path, (), None)


def files_of(path: Path) -> list[Path]:
    """List the file and all it includes, directly or not; of a wrong one, as far as it could be read."""
    reader = _Reader("a file", "")
    with contextlib.suppress(LocatedError):
        reader.read(path, (), None)
    return reader.files


class _Reader:
    """Lays a file over what it includes, and that over what it includes in its turn."""

    def __init__(self, noun: str, hint: str) -> None:
        self._noun = noun
        self._hint = hint
        self.files: list[Path] = []

    def read(self, path: Path, parents: tuple[Path, ...], asked: Span | None) -> Map:
        """Return one file and what it includes. `asked`: where it is named, in the last of `parents`."""
        missing = asked or Span(Source(str(path), ()), 1, 1)
        self.files.append(path)
        if len(self.files) > MAX_INCLUDES:
            fail(missing, f"more than {MAX_INCLUDES} files are included", "include less")
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)  # enough to see that there are too many
        except OSError as error:
            fail(missing, f"{path} cannot be read: {error.strerror or error}", "check the path")
        except ValueError as error:  # a NUL in the path
            fail(missing, f"this is not a path: {error}", "check the path")
        root = parse(decode(data, str(path), secret=self._is_foreign(path, parents)))
        if root is None:
            fail(Span(Source(str(path), ("",)), 1, 1), "the file is empty", self._hint)
        if not isinstance(root, Map):
            found = "a list" if isinstance(root, Seq) else shown(root.value)
            message = f"{self._noun} is a mapping (`key: value` lines); this is {found}"
            fail(root.span, message, self._hint)
        includes = root.entries.pop("include", None)
        base = Map(root.span)
        for leaf in _texts(includes, "include"):
            target = path.parent / leaf.text
            trail = (*parents, path.resolve())
            if target.resolve() in trail:
                fail(leaf.span, f"`{leaf.text}` ends up including itself", "break the circle")
            base = _overlay(base, self.read(target, trail, leaf.span))
        return _overlay(base, root)

    @staticmethod
    def _is_foreign(path: Path, parents: tuple[Path, ...]) -> bool:
        """Say whether an included file is none that goes with the first one: a scenario that somebody sent
        could name any file, and have its lines told in an error."""
        own = path.resolve()
        return bool(parents) and not any(own.is_relative_to(home) for home in (parents[0].parent, Path.cwd()))


def _texts(node: Node | None, key: str) -> list[Leaf]:
    """Return a text or a list of texts."""
    if node is None:
        return []
    leaves = node.items if isinstance(node, Seq) else [node]
    for leaf in leaves:
        if not isinstance(leaf, Leaf) or not isinstance(leaf.value, str) or not leaf.value:
            fail(leaf.span, f"`{key}` takes a file name or a list of file names", f"write `{key}: base.yaml`")
    return [leaf for leaf in leaves if isinstance(leaf, Leaf)]


def _overlay(base: Map, top: Map) -> Map:
    """Lay `top` over `base`: mappings are merged key by key, anything else is replaced."""
    merged = Map(top.span, dict(base.entries), dict(base.keys))
    for key, node in top.entries.items():
        below = merged.entries.get(key)
        merged.entries[key] = (
            _overlay(below, node) if isinstance(below, Map) and isinstance(node, Map) else node
        )
        merged.keys[key] = top.keys[key]
    return merged
