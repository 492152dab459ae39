"""Names of a module that are loaded when they are first asked for: who wants one pays for no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def lazy(module: dict[str, Any], homes: Mapping[str, tuple[str, ...]]) -> Callable[[str], Any]:
    """Make a module's `__getattr__` [PEP 562].

    Args:
        module: its globals, where a name stays once it is there.
        homes: the names by the module that each lies in, relative to the package.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def load(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {module['__name__']!r} has no attribute {name!r}")
        from importlib import import_module  # not before something is loaded: most programs end sooner

        value = getattr(import_module(home_of[name], module["__package__"]), name)
        module[name] = value
        return value

    return load


__all__ = ["lazy"]
