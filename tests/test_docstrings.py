"""What a function of `dcompute` does is said with a verb first: `Return the status`, and not `The status`.

Properties are things, and named as such. The files that a board has, too, are left as they are there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

DCOMPUTE = Path(__file__).parents[1] / "dcompute"
ON_BOARDS = {"node_answers.py", "node_core.py", "node_names.py", "node_ring.py", "node_wire.py"}
NO_VERBS = """
A After All An Another Anything As At Before By Bytes During Each Every Everything From Half How If In
Its It Much More Most Names No Nobody None Not Nothing Of On One Seconds Since Some Somebody Something
So That The These They This Those Under Until Up What When Where Whether Which Who Whom Whose Why With
"""


def without_verb(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        told = (ast.get_docstring(node) or "").split()
        is_property = any(getattr(each, "id", "") == "property" for each in node.decorator_list)
        if told and not is_property and told[0].strip(",.:") in NO_VERBS.split():
            yield node.lineno, " ".join(told[:6])


def test_docstrings_of_functions_begin_with_a_verb() -> None:
    found = [
        f"{path.relative_to(DCOMPUTE)}:{line}: {told}"
        for path in sorted(DCOMPUTE.rglob("*.py"))
        if path.name not in ON_BOARDS
        for line, told in without_verb(ast.parse(path.read_text()))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "is_wrong"),
    [
        ('def f():\n    """The status."""', True),
        ('def f():\n    """Whether it is."""', True),
        ('async def f():\n    """Return the status."""', False),
        ('@property\ndef f():\n    """The status."""', False),
        ("def f(): ...", False),
    ],
)
def test_this_test_sees_it(text: str, is_wrong: bool) -> None:
    assert bool(list(without_verb(ast.parse(text)))) is is_wrong
