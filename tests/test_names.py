"""Tests, benchmarks and examples use public names; private ones of others that are leant on are listed.

A test that reaches for a private name breaks when the inside changes and nothing is wrong. Where a test needs
something that no public name offers, a user may need it too: then it becomes one. Private packages are
imported only by the tests of the package that owns them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TESTS = ("tests", "benchmarks", "examples")
PROGRAMS = ("dcompute", "sim/dcompute_sim")
SCENARIOS = sorted(ROOT.glob("scenarios/**/*.yaml"))
BY_MICROPYTHON = ("shims", "firmware", "newer_umqtt")

OWNERS = {
    "benchmarks/campaign.py": ("dcompute._cli",),  # the command in simulated time
    "tests/docs": ("dcompute._mqtt",),
    "tests/dcompute": (
        "dcompute._cli",
        "dcompute._master",
        "dcompute._mqtt",
        "dcompute._net",
        "dcompute._node",
        "dcompute._plain",
    ),
    "tests/engines/foreign": ("_thread",),
    "tests/update": ("dcompute._cli", "dcompute._ota"),
}
"""Whose tests may import which private packages: their own."""

OF_OTHERS = {
    "_exit": "os._exit is documented",
    "_getframe": "sys._getframe is documented",
    "_is_owned": "threading.RLock, of which Condition asks it: tests/dcompute/test_signals.py",
    "_authenticate": "amqtt: tests/brokers/test_embedded_guard.py",
    # SimPy: tests/net/test_simpy_guard.py
    **dict.fromkeys(("_eid", "_now", "_ok", "_queue", "_value"), "SimPy"),
    # paho: tests/dcompute/test_paho_client.py
    **dict.fromkeys(
        (
            "_callback_mutex",
            "_loop_rc_handle",
            "_mid_generate",
            "_packet_handle",
            "_send_connect",
            "_send_publish",
            "_sock",
            "_sock_close",
            "_topic",
        ),
        "paho",
    ),
    # amqtt: dcompute_sim.brokers.embedded.guard, held by tests/brokers/test_embedded_guard.py
    **dict.fromkeys(
        (
            "_broadcast_loop",
            "_cleanup_session",
            "_client_connected",
            "_init_session",
            "_retained_messages",
            "_servers",
            "_sessions",
            "_start_listeners",
            "_stop_handler",
        ),
        "amqtt",
    ),
    "_inst": "random._inst: tests/net/test_fence.py would see it go",
}
"""Private names of other projects' that are leant on, each with what notices when it changes."""


def is_private(name: str) -> bool:
    """Whether it begins with an underscore and ends with none: `_graceful_shutdown_` is documented."""
    return bool(re.fullmatch(r"_[^_].*?[^_]|_[^_]", name))


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not set(BY_MICROPYTHON) & set(path.relative_to(ROOT).parts[1:-1]):
                yield path


def nodes_of(text: str) -> list[ast.AST]:
    """All of a file's syntax tree: to walk one takes longer than what is looked for in it."""
    return list(ast.walk(ast.parse(text)))


def defined(nodes: Sequence[ast.AST]) -> Iterator[str]:
    """Names that a file gives itself: functions, classes, variables, attributes."""
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value  # __slots__


def is_own(value: ast.expr) -> bool:
    """`self`, `cls`, `super()`: private to the class, or to what it extends."""
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id == "super"
    return isinstance(value, ast.Name) and value.id in ("self", "cls")


def reached_for(nodes: Sequence[ast.AST]) -> Iterator[tuple[int, str]]:
    """Private names that are not the file's own: attributes, imports, and those that are patched by name."""
    own = set(defined(nodes))
    for node in nodes:
        names: list[str] = []
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Attribute) and not is_own(node.value):
            names = [node.attr]
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "setattr",
            "delattr",
            "getattr",
        ):
            texts = [arg.value for arg in node.args[:2] if isinstance(arg, ast.Constant)]
            names = [part for text in texts if isinstance(text, str) for part in text.split(".")]
            yield from ((line, name) for name in names if is_private(name) and name not in OF_OTHERS)
            continue
        yield from (
            (line, name) for name in names if is_private(name) and name not in own and name not in OF_OTHERS
        )


def private_packages(nodes: Sequence[ast.AST]) -> Iterator[tuple[int, str]]:
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        for module in modules:
            parts = module.split(".")[:-1] if isinstance(node, ast.ImportFrom) else module.split(".")
            private = next((n for n, part in enumerate(parts) if is_private(part)), None)
            if private is not None:
                yield node.lineno, ".".join(parts[: private + 1])


def test_tests_use_public_names() -> None:
    found = []
    for path in python_files(*TESTS):
        where = path.relative_to(ROOT).as_posix()
        nodes = nodes_of(path.read_text())
        allowed = next(
            (names for folder, names in OWNERS.items() if f"{where}/".startswith(f"{folder}/")), ()
        )
        found += [f"{where}:{line}: {name}" for line, name in reached_for(nodes)]
        found += [f"{where}:{line}: {name}" for line, name in private_packages(nodes) if name not in allowed]
    assert not found, "\n".join(found)


def test_private_names_of_others_are_listed_and_guarded() -> None:
    files = {path: nodes_of(path.read_text()) for path in python_files(*PROGRAMS)}
    ours = {name for nodes in files.values() for name in defined(nodes)}
    found = []
    for path, nodes in files.items():
        for node in nodes:
            if isinstance(node, ast.Attribute) and is_private(node.attr):
                name = node.attr
            elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("dcompute"):
                name = next((part for part in (node.module or "").split(".") if is_private(part)), "")
            else:
                continue
            if name and name not in ours and name not in OF_OTHERS:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {name}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("thing._inside", ["_inside"]),
        ("self._mine; super()._mine(); cls._mine", []),
        ("class A:\n    def __init__(self): self._mine = 1\na = A()\na._mine", []),
        ("monkeypatch.setattr('package.module._CONST', 1)", ["_CONST"]),
        ("monkeypatch.setattr(thing, '_inside', 1)", ["_inside"]),
        ("from package.module import _inside", ["_inside"]),
        ("node._graceful_shutdown_()", []),
        ("os._exit(0); thing.__dict__", []),
    ],
)
def test_what_counts_as_reaching(text: str, names: list[str]) -> None:
    assert [name for _, name in reached_for(nodes_of(text))] == names


def test_private_packages_are_found() -> None:
    text = "from dcompute._mqtt.link import MqttLink\nimport pip._internal.commands\nimport dcompute.parts\n"
    assert [name for _, name in private_packages(nodes_of(text))] == ["dcompute._mqtt", "pip._internal"]


def test_words_that_were_given_up_stay_away() -> None:
    """Phrases of ours that nobody else would have used, and docstrings that say nothing."""
    given_up = re.compile(
        "how-manieth|a message that is none|one test an expectation|See the module\\'s head|aftermath|museum"
    )
    files = [*python_files(*PROGRAMS, *TESTS), *ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *SCENARIOS]
    found = {
        str(path.relative_to(ROOT)): words
        for path in files
        if path != Path(__file__) and path.name != "CHANGELOG.md"
        if (words := given_up.findall(path.read_text(encoding="utf-8")))
    }
    assert not found
