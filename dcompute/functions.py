"""A handler that runs functions of chosen modules: what `FleetExecutor.submit` and `map` ask for by name."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any


class Functions:
    """Calls `function` of a task with its `args` and `kwargs`; with `calls`, a list of args, each in turn.

    Only what the modules define themselves and does not begin with an underscore can be called, by its whole
    name (`package.module:function`) or the short one.

    Args:
        modules: names of importable modules.

    Raises:
        ValueError: for a module that cannot be imported, or two functions of one short name.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self.modules = list(modules)
        self._by_name: dict[str, Any] = {}
        for module in modules:
            self._add(module)

    def _add(self, module: str) -> None:
        try:
            found = importlib.import_module(module)
        except ImportError as error:
            raise ValueError(f"functions of {module!r}: {error}") from None
        for name, value in vars(found).items():
            if name.startswith("_") or not callable(value) or getattr(value, "__module__", None) != module:
                continue
            if name in self._by_name:
                other = self._by_name[name].__module__
                raise ValueError(f"two functions are called {name!r}: of {module} and {other}")
            self._by_name[name] = self._by_name[f"{module}:{name}"] = value

    def names(self) -> list[str]:
        """Return the whole names, for the node to announce as its `functions`."""
        return sorted(name for name in self._by_name if ":" in name)

    def __call__(self, task: dict[str, Any]) -> Any:
        name = task.get("function")
        function = self._by_name.get(name) if isinstance(name, str) else None
        if function is None:
            raise LookupError(f"no function {name!r} here; there are {', '.join(self.names())}")
        if "calls" in task:
            return [function(*args) for args in task["calls"]]
        return function(*task.get("args", ()), **task.get("kwargs", {}))

    def __reduce__(self) -> tuple[Any, ...]:
        return (Functions, (self.modules,))


__all__ = ["Functions"]
