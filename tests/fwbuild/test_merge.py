"""Merging modules: what stays, what gets a letter, and what is refused."""

from __future__ import annotations

import ast

import pytest
from dcompute_sim.fwbuild.build_errors import BuildError
from dcompute_sim.fwbuild.merge import merge

INNER = '''
"""Documentation."""
from micropython import const
_LIMIT = const(2 + 1)
NAME = "inner"
calls = []

def note(text: str, again: bool = False) -> None:
    """Says."""
    calls.append(text if not again else text + text)

class Counter:
    def __init__(self, start):
        self._value = start
        self.shown = 0

    def _bump(self, step):
        self._value += step

    def step(self):
        self._bump(_LIMIT)
        self.shown = self._value
        return self.shown
'''
OUTER = """
import sys
import inner as i
from inner import Counter, NAME

calls = "its own"

def public(first, second=2):
    counter = Counter(first)
    i.note(NAME, again=True)
    note = [counter.step(), second, i.calls, calls]
    return note
"""


def merged(inner: str = INNER, outer: str = OUTER) -> str:
    return merge({"inner": inner, "outer": outer}, {"outer": {"public"}})["outer"]


def run(text: str) -> dict[str, object]:
    space: dict[str, object] = {}
    exec(compile(text, "outer", "exec"), space)
    return space


def test_a_merged_program_does_what_the_modules_did() -> None:
    public = run(merged())["public"]
    assert callable(public)
    assert public(4, second=5) == [7, 5, ["innerinner"], "its own"]
    assert public(4) == [7, 2, ["innerinner", "innerinner"], "its own"]


def test_only_what_others_name_keeps_its_name() -> None:
    text = merged()
    for private in ("_value", "_bump", "_LIMIT", "Counter", "start", "step)", "Documentation", "Says", "str"):
        assert private not in text
    for named in ("def public(first, second=2)", "again", "shown", "def step(self)"):
        assert named in text


def test_a_module_runs_where_it_is_first_imported() -> None:
    text = merge(
        {"a": "print('a')\nimport b\nprint('after')", "b": "print('b')"},
        {"a": set()},
    )["a"]
    assert [ast.unparse(s) for s in ast.parse(text).body] == ["print('a')", "print('b')", "print('after')"]


def test_branches_of_another_python_are_left_out() -> None:
    text = merged(
        inner="import sys\n_HERE = sys.implementation.name == 'micropython'\n"
        "if _HERE:\n    def where():\n        return 'board'\n"
        "else:\n    def where():\n        return 'desk'\n",
        outer="from inner import where\ndef public():\n    return where()\n",
    )
    assert "desk" not in text
    assert run(text)["public"]() == "board"  # type: ignore[operator]


@pytest.mark.parametrize(
    ("inner", "outer", "fault"),
    [
        ("class C:\n    _x = 1\n", "import inner\ndef f(c):\n    return c._x\n", "c._x: private"),
        ("x = 1\ndef f():\n    global x\n    x = 2\n", "import inner\n", "global x"),
        ("class A:\n    pass\nclass B(A):\n    pass\n", "import inner\n", "base"),
    ],
)
def test_what_cannot_be_merged_is_refused_by_name(inner: str, outer: str, fault: str) -> None:
    with pytest.raises(BuildError, match=fault):
        merged(inner, outer)


def test_a_module_of_two_entries_is_refused() -> None:
    sources = {"shared": "state = []", "a": "import shared", "b": "import shared"}
    with pytest.raises(BuildError, match="shared is imported by a and b"):
        merge(sources, {"a": set(), "b": set()})
