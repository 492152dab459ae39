"""Classes by name that register themselves: the kinds of fault, the checks.

Rules: a class is known once its module was imported, and the modules of a package are found by `discover`, so
a new kind is a new file and nothing else. They are imported when somebody asks: for one name the module of
that name, for all of them, or for a name that no module has, every one. A run uses a few of thirty kinds of
fault and forty checks, and the modules of the rest were 2 MiB and a quarter of what a command takes to start.
The order is that of the names, not of the imports: what is drawn from a registry, or documented from it, is
the same wherever else a kind was defined.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")


class Registry(Mapping[str, type[T]]):
    """Registered classes by name, in the order of their names.

    Args:
        what: what one is called in errors, as in "kind of fault".
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._classes: dict[str, type[T]] = {}
        self._not_imported: dict[str, str] = {}  # modules, by the last part of their names

    def __getitem__(self, name: str) -> type[T]:
        if name not in self._classes and name in self._not_imported:
            importlib.import_module(self._not_imported.pop(name))
        if name not in self._classes:
            self._import_all()
        return self._classes[name]

    def __iter__(self) -> Iterator[str]:
        self._import_all()
        return iter(self._classes)

    def __len__(self) -> int:
        self._import_all()
        return len(self._classes)

    def discover(self, package: str, path: list[str]) -> None:
        """Find the modules of a package, for their classes to register when they are asked for.

        Args:
            path: the package's own `__path__`.
        """
        for module in pkgutil.iter_modules(path):
            self._not_imported[module.name] = f"{package}.{module.name}"

    def add(self, name: str, cls: type[T]) -> None:
        """Register a class; one that is loaded anew replaces itself. ValueError when the name is taken."""
        known = self._classes.get(name)
        if known is not None and _place(known) != _place(cls):
            told = f"a {self._what} called `{name}` is there already: {_place(known)}"
            raise ValueError(f"{told}; {_place(cls)} needs another name")
        self._classes = dict(sorted({**self._classes, name: cls}.items()))

    def remove(self, name: str) -> None:
        """Forget a class. KeyError when there is none of this name."""
        del self._classes[name]

    def _import_all(self) -> None:
        while self._not_imported:
            importlib.import_module(self._not_imported.popitem()[1])


def _place(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
