"""What the tests of the networks share."""

from __future__ import annotations

import itertools
import sys
import types
from collections.abc import Callable, Iterator

import pytest

_numbers = itertools.count()


@pytest.fixture
def make_module() -> Iterator[Callable[[str], types.ModuleType]]:
    """Make an importable module of a source text."""
    made: list[str] = []

    def make(source: str) -> types.ModuleType:
        module = types.ModuleType(f"net_test_module_{next(_numbers)}")
        exec(source, module.__dict__)
        sys.modules[module.__name__] = module
        made.append(module.__name__)
        return module

    yield make
    for name in made:
        del sys.modules[name]
