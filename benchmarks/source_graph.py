"""Source as a graph: the modules of this repository, what each imports, and what is wrong with that.

The rules (`tests/test_architecture.py` holds the house to them, `structure.py` counts how far off it is):

* **Arrows point one way.** At every level of a package its children (modules and folders, a folder standing
  for all that is in it) import one another without a circle. This is the rule of siblings: `dcompute` and
  `dcompute._mqtt` are no circle although each imports something of the other, for a face and what is
  behind it are siblings (`master_transport` imports `_mqtt`, `_mqtt` imports `drivers`); but if `drivers`
  imported `_mqtt`, these two would be one. An import counts wherever it stands: in a function, for typing.
* **What is private stays at home.** A module or folder whose name has a leading underscore is imported only
  from inside the package that it lies in.
* **One name, one meaning.** Within a distribution no two modules or folders share a name, nor two classes.

Why not a library (import-linter, grimp): they import, or install into, the environment that they judge; this
reads text, so it can judge any revision, also one whose packages had other names, and a planted violation.
Computing the graph from the syntax tree is 40 lines.
"""

from __future__ import annotations

import ast
import io
import subprocess
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("dcompute", "sim", "firmware")
SHIMS = "shims"
"""The folder of modules for another interpreter: they are source, but no part of the import graph."""

Edge = tuple[str, str]


@dataclass(frozen=True)
class Module:
    """One file: its dotted name, its path in the repository, its text."""

    name: str
    path: str
    text: str

    @property
    def package(self) -> str:
        """The package that its relative imports start from."""
        return self.name if self.path.endswith("/__init__.py") else self.name.rpartition(".")[0]

    @property
    def on_board(self) -> bool:
        """It lies flat on a board's flash: what it imports is `settings`, not `firmware.settings`."""
        return self.path.startswith("firmware/")

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree."""
        return ast.parse(self.text, self.path)


class SourceGraph:
    """The modules of a set of files, and which imports which.

    Args:
        files: path in the repository -> text, Python files only.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        nested = any(path.startswith("sim/dcompute_sim/") for path in files)
        self.modules: dict[str, Module] = {}
        for path in sorted(files):
            where = PurePosixPath(path)
            if SHIMS in where.parts:
                continue
            inside = where.relative_to("sim") if nested and where.parts[0] == "sim" else where
            parts = inside.with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            self.modules[name] = Module(name, path, files[path])

    @cached_property
    def imports(self) -> dict[str, set[str]]:
        """Module -> every module of ours that it imports, in whatever place of its text."""
        return {name: set(self._imported(module)) - {name} for name, module in self.modules.items()}

    def _imported(self, module: Module) -> Iterator[str]:
        for written in imported_names(module):
            for prefix in ("", "firmware.", "dcompute.") if module.on_board else ("",):
                name = prefix + written
                while name and name not in self.modules:
                    name = name.rpartition(".")[0]
                if name and f"{name}." != prefix:
                    yield name
                    break

    def circles(self) -> list[list[str]]:
        """Modules that import one another in a circle, each set once."""
        return components(self.imports)

    def folder_circles(self) -> dict[str, list[list[str]]]:
        """Package -> sets of its children that import one another in a circle."""
        found = {}
        for package in self._packages():
            circles = components(self.siblings(package))
            if circles:
                found[package or "."] = circles
        return found

    def upward(self) -> list[Edge]:
        """Imports of one child by another that would have to go for no circle to be left."""
        edges: list[Edge] = []
        for package, circles in self.folder_circles().items():
            arrows = self.siblings("" if package == "." else package)
            for circle in circles:
                edges += _against(circle, arrows)
        return sorted(edges)

    def _packages(self) -> list[str]:
        names = {""}
        for name in self.modules:
            while name := name.rpartition(".")[0]:
                names.add(name)
        return sorted(names)

    def siblings(self, package: str) -> dict[str, set[str]]:
        """The children of `package` and which imports which; "" is the level of the distributions."""
        arrows: dict[str, set[str]] = defaultdict(set)
        for importer, imported in self.imports.items():
            mine = _child(importer, package)
            for target in imported:
                theirs = _child(target, package)
                if mine and theirs and mine != theirs:
                    arrows[mine].add(theirs)
        return dict(arrows)

    def private_imports(self) -> list[Edge]:
        """(importer, imported) of each import of a private module from outside its package."""
        return sorted(
            (importer, target)
            for importer, imported in self.imports.items()
            for target in imported
            if not _may_see(importer, target)
        )

    def double_names(self, package: str, allowed: Iterable[str] = ()) -> dict[str, list[str]]:
        """Name -> where it stands, for each that two modules, folders or classes of `package` share.

        `allowed`: names of modules that mean the same in every folder.
        """
        modules: dict[str, set[str]] = defaultdict(set)
        classes: dict[str, set[str]] = defaultdict(set)
        for name, module in self.modules.items():
            if name != package and not name.startswith(f"{package}."):
                continue
            parts = name.split(".")
            for depth in range(1, len(parts)):
                modules[parts[depth]].add(".".join(parts[: depth + 1]))
            for node in ast.walk(module.tree):
                if isinstance(node, ast.ClassDef):
                    classes[node.name].add(f"{name}:{node.lineno}")
        for name in allowed:
            modules.pop(name, None)
        return {
            name: sorted(places)
            for table in (modules, classes)
            for name, places in sorted(table.items())
            if len(places) > 1
        }

    def reaches(self, start: str) -> set[str]:
        """Every module that importing the modules of `start` may bring."""
        waiting = [name for name in self.modules if name == start or name.startswith(f"{start}.")]
        found: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self.imports[name]
        return found


def imported_names(module: Module) -> Iterator[str]:
    """Absolute dotted names of whatever the module imports; the longest form, `package.module.thing`."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.package.split(".")
                above = above[: len(above) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def components(arrows: Mapping[str, set[str]]) -> list[list[str]]:
    """Strongly connected components of more than one node (Tarjan, without recursion)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    found = []
    for root in sorted(arrows):
        if root in index:
            continue
        work = [(root, iter(sorted(arrows.get(root, ()))))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, targets = work[-1]
            target = next(targets, None)
            if target is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    members = [stack.pop()]
                    while members[-1] != node:
                        members.append(stack.pop())
                    on_stack.difference_update(members)
                    if len(members) > 1:
                        found.append(sorted(members))
            elif target not in index:
                index[target] = low[target] = len(index)
                stack.append(target)
                on_stack.add(target)
                work.append((target, iter(sorted(arrows.get(target, ())))))
            elif target in on_stack:
                low[node] = min(low[node], index[target])
    return sorted(found)


def _against(circle: list[str], arrows: Mapping[str, set[str]]) -> list[Edge]:
    """Arrows of a circle against a good order: first comes who imports most and is imported least."""
    inside = {node: arrows.get(node, set()) & set(circle) for node in circle}
    order: list[str] = []
    left = set(circle)
    while left:
        # The next is imported by the fewest of those left, and among such imports the most.
        best = min(
            left,
            key=lambda node: (
                sum(node in inside[other] for other in left) - len(inside[node] & left),
                node,
            ),
        )
        order.append(best)
        left.remove(best)
    rank = {node: place for place, node in enumerate(order)}
    return [(node, target) for node in circle for target in inside[node] if rank[target] < rank[node]]


def _child(name: str, package: str) -> str:
    """The child of `package` in which `name` lies; "" when it lies elsewhere, or is the package itself."""
    if not package:
        return name.split(".")[0]
    if not name.startswith(f"{package}."):
        return ""
    return package + "." + name[len(package) + 1 :].split(".")[0]


def _may_see(importer: str, target: str) -> bool:
    """Whether each private part of `target` belongs to a package that `importer` is in."""
    parts = target.split(".")
    owners = [".".join(parts[:depth]) for depth, part in enumerate(parts) if part.startswith("_")]
    return all(importer == owner or importer.startswith(f"{owner}.") for owner in owners)


def files_here(root: Path = ROOT) -> dict[str, str]:
    """The Python files of the work tree."""
    return {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
        for folder in FOLDERS
        for path in sorted((root / folder).rglob("*.py"))
        if "__pycache__" not in path.parts
    }


def files_of(revision: str, root: Path = ROOT) -> dict[str, str]:
    """The Python files of a revision of this repository. CalledProcessError when git does not know it."""
    packed = subprocess.run(
        ["git", "archive", "--format=tar", revision, *FOLDERS], cwd=root, check=True, stdout=subprocess.PIPE
    ).stdout
    files = {}
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if member.name.endswith(".py") and content is not None:
                files[member.name] = content.read().decode("utf-8")
    return files
