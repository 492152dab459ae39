"""Users' values to plain JSON values, before any lock is taken.

A value that a program gives may be anything: a dict subclass whose methods run the user's code, which may
raise or block; a list that never ends; one that another thread is changing. So it is copied first, in the
thread of the caller, and no further than a message can carry. What is held, encoded under a lock or handed
to other threads is the copy.
"""

from __future__ import annotations

from typing import Any, TypeVar

from dcompute.node_wire import MAX_DEPTH, MAX_PAYLOAD_BYTES

Json = TypeVar("Json")
_NESTING = frozenset((dict, list))


def plain(value: object, limit: int = MAX_PAYLOAD_BYTES) -> Any:
    """Return a copy of `value` made of dict, list, str, int, float, bool and None themselves.

    Raises:
        ValueError: if it is no JSON value, nested too deep, or takes more than `limit` bytes. Whatever the
            methods of the value's own classes raise goes through.
    """
    return _Copier(limit).copy(value, 0)


def copy_json(value: Json) -> Json:
    """Return a copy of what JSON text became, for others to change; `deepcopy` takes eight times as long."""
    given: Any = value
    if type(given) is dict and _NESTING.isdisjoint(map(type, given.values())):  # as nearly all are
        given = given.copy()
    elif type(given) is dict:
        given = {key: copy_json(item) if type(item) in _NESTING else item for key, item in given.items()}
    elif type(given) is list:
        given = [copy_json(item) if type(item) in _NESTING else item for item in given]
    return given  # type: ignore[no-any-return]


class _Copier:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._room = limit

    def copy(self, value: object, depth: int) -> object:
        # The methods of the base classes: a subclass is free to say something else, even of its length.
        if isinstance(value, str):
            self._take(str.__len__(value) + 2)
            return value if type(value) is str else str.__getitem__(value, slice(None))
        if value is None or isinstance(value, bool):
            self._take(4)
            return value
        if isinstance(value, int):
            self._take(int.bit_length(value) // 4 + 1)
            return int.__int__(value)
        if isinstance(value, float):
            self._take(3)
            return float.__float__(value)
        if depth >= MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        self._take(2)
        if isinstance(value, dict):
            copied = {}
            for key, item in value.items():
                if not isinstance(key, str):
                    raise ValueError(f"JSON keys are strings, not {type(key).__name__}")
                copied[self.copy(key, depth)] = self.copy(item, depth + 1)
            return copied
        if isinstance(value, (list, tuple)):
            return [self.copy(item, depth + 1) for item in value]
        raise ValueError(f"{type(value).__name__} is not a JSON value")

    def _take(self, least_bytes: int) -> None:
        self._room -= least_bytes
        if self._room < 0:
            raise ValueError(f"the message is over the limit of {self._limit:,} bytes")
