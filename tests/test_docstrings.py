"""What a function does is said with a verb first: `Return the status`, and not `The status`.

That nothing else stands there can only be told by words that are no verbs, so these are what is looked for.
Properties are things, and named as such. The files that a board has, too, are left as they are there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ON_BOARDS = {"node_answers.py", "node_core.py", "node_names.py", "node_ring.py", "node_wire.py"}
NO_VERBS = """
A About After All An Another Any Anything As At Before Both By Bytes During Each Errors Every Everything For
From Half How If In Into It Its Just Like Lists Makes Many Most Much More Names Never No Nobody None Not
Nothing Now Of On One Our Out Over Raises Returns Runs Seconds Sends Since So Some Somebody Something Takes
Tells That The Their Then There These They This Those To Towards Triggered True Two Under Until Up What When
Where Whether Which Whichever Who Whoever Whole Whom Whose Why With Within Without Yields Yes
"""


def without_verb(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        told = (ast.get_docstring(node) or "").split()
        is_property = any(ast.unparse(each).endswith("property") for each in node.decorator_list)
        if told and not is_property:
            first = told[0].strip(",.:;")
            if not first.isalpha() or first != first.capitalize() or first in NO_VERBS.split():
                yield node.lineno, " ".join(told[:6])


@pytest.mark.parametrize("folder", ["dcompute", "sim"])
def test_docstrings_of_functions_begin_with_a_verb(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {told}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path.name not in ON_BOARDS
        for line, told in without_verb(ast.parse(path.read_text()))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "is_wrong"),
    [
        ('def f():\n    """The status."""', True),
        ('def f():\n    """Whether it is."""', True),
        ('def f():\n    """`status`, or none."""', True),
        ('def f():\n    """1.0 by default."""', True),
        ('def f():\n    """PUBACK: it has arrived."""', True),
        ('async def f():\n    """Return the status."""', False),
        ('@property\ndef f():\n    """The status."""', False),
        ("def f(): ...", False),
    ],
)
def test_this_test_sees_it(text: str, is_wrong: bool) -> None:
    assert bool(list(without_verb(ast.parse(text)))) is is_wrong
