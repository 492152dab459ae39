"""The house in figures: `python -m benchmarks structure [--rev REVISION]`; figures, and JSON with `--json`.

What is counted, over every Python file of `dcompute`, `sim` and `firmware` (tests are not the house):

* modules and functions, their median and their longest, in lines of the file (a function from `def` to its
  end, docstring included);
* private functions used once: of all functions and methods with a leading underscore, the share whose name
  is written in exactly one other place of their module. Each is a jump that a reader makes for one caller;
  short ones (up to six lines) are what the house rules ask to be inlined, unless they are not called but
  handed on: callbacks, processes, hooks that others override;
* comments: lines that hold nothing but a comment, for each 100 lines of code, and those beside code.
  Docstrings are counted apart;
* circles and upward arrows: see `source_graph.py`.
"""

from __future__ import annotations

import ast
import io
import statistics
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.figures import Figure
from benchmarks.source_graph import SourceGraph, files_here, files_of

SHORT_LINES = 6
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Function:
    """One function or method: where, how long, and how often its module writes its name, and calls it."""

    where: str
    lines: int
    private: bool
    uses: int
    calls: int


@dataclass(frozen=True)
class Lines:
    """Lines of code, of comments alone, of docstrings, and of code with a comment beside it."""

    code: int
    comments: int
    docstrings: int
    beside: int


def functions_of(path: str, text: str) -> Iterator[Function]:
    """Every function of a file."""
    tree = ast.parse(text, path)
    written: Counter[str] = Counter()
    called: Counter[str] = Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            written[node.id] += 1
        elif isinstance(node, ast.Attribute):
            written[node.attr] += 1
        elif isinstance(node, ast.Call):
            called[getattr(node.func, "id", getattr(node.func, "attr", ""))] += 1
    for node in ast.walk(tree):
        if isinstance(node, _FUNCTIONS):
            private = node.name.startswith("_") and not node.name.endswith("__")
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield Function(
                f"{path}:{node.lineno} {node.name}", lines, private, written[node.name], called[node.name]
            )


def lines_of(text: str) -> Lines:
    """What the lines of a file are."""
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            docstrings.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    code: set[int] = set()
    comments: set[int] = set()
    blank = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments.add(token.start[0])
        elif token.type not in blank:
            code.update(range(token.start[0], token.end[0] + 1))
    return Lines(len(code - docstrings), len(comments - code), len(docstrings), len(comments & code))


def figures_of(files: Mapping[str, str]) -> list[Figure]:
    """All figures of a set of files."""
    graph = SourceGraph(files)
    lengths = {path: text.count("\n") for path, text in files.items()}
    functions = [function for path, text in files.items() for function in functions_of(path, text)]
    private = [function for function in functions if function.private]
    once = [function for function in private if function.uses == 1]
    short = [function for function in once if function.lines <= SHORT_LINES]
    lines = [lines_of(text) for text in files.values()]
    code = sum(found.code for found in lines)
    longest_module = max(lengths, key=lengths.__getitem__)
    longest = max(functions, key=lambda function: function.lines)
    circles = [circle for found in graph.folder_circles().values() for circle in found]
    return [
        Figure("modules", len(files), ""),
        Figure("a module, median", statistics.median(lengths.values()), "lines"),
        Figure("the longest module", lengths[longest_module], f"lines: {longest_module}"),
        Figure("functions", len(functions), ""),
        Figure("a function, median", statistics.median(found.lines for found in functions), "lines"),
        Figure("the longest function", longest.lines, f"lines: {longest.where}"),
        Figure("private functions used once", 100 * len(once) / len(private), "%"),
        Figure(f"the same, of up to {SHORT_LINES} lines", 100 * len(short) / len(private), "%"),
        Figure("the same, called", 100 * sum(found.calls > 0 for found in short) / len(private), "%"),
        Figure(
            "comment lines per 100 lines of code", 100 * sum(found.comments for found in lines) / code, ""
        ),
        Figure("comments beside code, per 100", 100 * sum(found.beside for found in lines) / code, ""),
        Figure(
            "docstring lines per 100 lines of code", 100 * sum(found.docstrings for found in lines) / code, ""
        ),
        none_of("circles of modules", len(graph.circles())),
        none_of("circles of siblings (modules or folders)", len(circles)),
        none_of("modules and folders in such circles", sum(map(len, circles))),
        none_of("upward arrows between siblings", len(graph.upward())),
        none_of("imports of private modules by strangers", len(graph.private_imports())),
    ]


def none_of(name: str, count: int) -> Figure:
    """A figure that has to be 0."""
    return Figure(name, count, "", "at_most", 0)


def measure(revision: str | None = None) -> list[Figure]:
    """The figures of the work tree, or of a revision of it."""
    return figures_of(files_here() if revision is None else files_of(revision))
