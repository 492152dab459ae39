"""What is counted in texts stands in its number: `1 board booted`, and not `1 boards booted`.

A word that is counted with `noun`, `number_of` or `plural` anywhere is a noun that people meet with numbers:
no f-string and no log line may then put a figure before its plural as it is.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcompute.parts import noun, number_of

from .conftest import ROOT

COUNTING = ("noun", "number_of", "plural")
BY_MICROPYTHON = ("shims", "newer_umqtt")
NEVER_ONE = (
    "{(counts.total() - events) / span_s} events/s",
    "{group.count} nodes would",
    "{limit} files only",
    "{needed} open files",
    "{self.runs[run]} times",
    "{speed} times real time",
    "{strikes} times; ",
    "{tasks} tasks; ",
)
"""How texts begin whose figure is a ratio, or was found to be above one just before."""
WORDS = ("kind", "status", "scenario.name", "run", "real[0]", "shown(scenario.broker)", "fail_rate)")
"""How expressions end whose value is no figure."""


def trees() -> dict[Path, ast.Module]:
    paths = [*(ROOT / "dcompute").rglob("*.py"), *(ROOT / "sim" / "dcompute_sim").rglob("*.py")]
    return {path: ast.parse(path.read_text()) for path in paths if not set(BY_MICROPYTHON) & set(path.parts)}


def plurals(modules: dict[Path, ast.Module]) -> set[str]:
    """The nouns that are counted somewhere, in the plural, by their last word."""
    found = set()
    for tree in modules.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in COUNTING:
                words = [str(arg.value) for arg in node.args[1:] if isinstance(arg, ast.Constant)]
                if words and " is" not in words[0]:
                    found.add((words[1] if words[1:] else f"{words[0]}s").split()[-1])
    return {word for word in found if word.endswith("s")} - {"was", "is", "has", "does"}


def bare(tree: ast.AST, words: set[str]) -> Iterator[tuple[int, str]]:
    """Figures before a plural: in f-strings, and in lines that `%` fills in."""
    pattern = re.compile(rf" (?:[a-z]+ )?(?:{'|'.join(sorted(words))})\b")
    constant = re.compile(r"(?:len\()?[A-Z_]{3,}\)?")
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            for value, text in zip(node.values, node.values[1:], strict=False):
                if not isinstance(value, ast.FormattedValue) or not isinstance(text, ast.Constant):
                    continue
                shown = ast.unparse(value.value)
                told = f"{{{shown}}}{text.value!s}"
                fine = told.startswith(NEVER_ONE) or shown.endswith(WORDS) or constant.fullmatch(shown)
                counted = getattr(getattr(value.value, "func", None), "id", "") in COUNTING
                if pattern.match(str(text.value)) and not fine and not counted:
                    yield node.lineno, told
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            for found in re.finditer(rf"%d{pattern.pattern}", node.value):
                yield node.lineno, found[0]


def test_no_text_counts_in_the_wrong_number() -> None:
    modules = trees()
    words = plurals(modules)
    assert {"boards", "deaths", "faults", "nodes", "results", "statuses", "tasks"} <= words
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {text[:60]!r}"
        for path, tree in modules.items()
        for line, text in bare(tree, words)
    ]
    assert not wrong, "use dcompute.parts.number_of:\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "is_wrong"),
    [
        ('f"{n} boards booted"', True),
        ('f"{done} of {len(all)} dead boards"', True),
        ('log.info("%d boards", n)', True),
        ("f\"{number_of(n, 'board')} booted\"", False),
        ('f"at most {MOST_BOARDS} boards"', False),
        ('f"{name} boards the train"', True),
        ('f"{count} boardwalks"', False),
    ],
)
def test_this_test_sees_it(text: str, is_wrong: bool) -> None:
    assert bool(list(bare(ast.parse(text), {"boards"}))) is is_wrong


def test_numbers_and_nouns() -> None:
    assert [number_of(n, "board") for n in (0, 1, 2)] == ["0 boards", "1 board", "2 boards"]
    assert number_of(2, "recovery", "recoveries") == "2 recoveries"
    assert [noun(n, "was", "were") for n in (1, 3)] == ["was", "were"]
