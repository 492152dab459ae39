"""Kinds of fault and checks from files of their own, known while a test wants them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from dcompute_sim.checks import CHECKS
from dcompute_sim.faults import KINDS

Load = Callable[[str], None]


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """`known("microwave_oven")` imports the file of this name; forgotten after the test."""
    kinds, checks = set(KINDS), set(CHECKS)

    def load(name: str) -> None:
        spec = spec_from_file_location(f"of_a_user_{name}", Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)

    yield load
    for name in set(KINDS) - kinds:
        KINDS.remove(name)
    for name in set(CHECKS) - checks:
        CHECKS.remove(name)
