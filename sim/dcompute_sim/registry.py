"""Classes by name that register themselves: the kinds of fault, the checks.

Rules: a class is known once its module was imported, and the modules of a package are imported by `discover`,
so a new kind is a new file and nothing else. The order is that of the names, not of the imports: what is
drawn from a registry, or documented from it, is the same wherever else a kind was defined. Whoever has built
something from a registry (pydantic's validators are built once) asks to be told `when_changed`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
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
        self._told: list[Callable[[], None]] = []

    def __getitem__(self, name: str) -> type[T]:
        return self._classes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def add(self, name: str, cls: type[T]) -> None:
        """Register a class; one that is loaded anew replaces itself. ValueError when the name is taken."""
        known = self._classes.get(name)
        if known is not None and _place(known) != _place(cls):
            told = f"a {self._what} called `{name}` is there already: {_place(known)}"
            raise ValueError(f"{told}; {_place(cls)} needs another name")
        self._classes = dict(sorted({**self._classes, name: cls}.items()))
        self._changed()

    def remove(self, name: str) -> None:
        """Forget a class. KeyError when there is none of this name."""
        del self._classes[name]
        self._changed()

    def when_changed(self, call: Callable[[], None]) -> None:
        """Call `call()` after every change from now on."""
        self._told.append(call)

    def _changed(self) -> None:
        for call in self._told:
            call()


def discover(package: str, path: list[str]) -> None:
    """Import every module of a package, for their classes to register.

    Args:
        path: the package's own `__path__`.
    """
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{module.name}")


def _place(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
