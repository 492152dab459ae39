"""What makes the compiled firmware smaller does not change what it does."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from dcompute_sim.fwbuild.firmware_files import product
from dcompute_sim.fwbuild.keep_names import UMQTT
from dcompute_sim.fwbuild.merge import merge
from dcompute_sim.fwbuild.share_locals import share_locals
from dcompute_sim.fwbuild.syntax_nodes import nodes_of
from dcompute_sim.micropython.provision import provision

NEWER_UMQTT = Path(__file__).parents[1] / "firmware" / "newer_umqtt"

PARTS = """
from micropython import const
_LIMIT = const(3)

class Store:
    def __init__(self, limit):
        self.limit = limit
        self.taken = 0
        self.unread = 0
        self._items = []

    def add(self, item):
        self.unread += 1
        if len(self._items) >= self.limit:
            return False
        self._items.append(item)
        return True

    def first(self):
        return self._items[0]

    def size(self):
        return len(self._items)

class Node:
    store_class = Store

    def __init__(self, log):
        self._log = log
        self.store = self.store_class(_LIMIT)
        self._items = "its own"

    def handle(self, item):
        if not item:
            return "nothing"
        name = _named(item)
        added = self.store.add(name)
        if not added:
            self._refuse(name, self.store.size())
        return self._describe(added)

    def _describe(self, added):
        for word in ("first", "last"):
            if word == self._kind():
                return "%s %s, added %s, of %s" % (word, self.store.first(), added, self._items)
        return "neither first nor last"

    def _kind(self):
        try:
            return self._log[-1]
        except IndexError:
            return "first"

    def _refuse(self, name, size):
        if name == "quiet":
            return
        try:
            self._log.append(_checked(name))
        except ValueError as error:
            self._log.append("refused: %s" % error)
            self._log.append(size)

def _named(item):
    if isinstance(item, int):
        return "number %d of all the numbers" % item
    return item

def _checked(name):
    if name == "bad":
        raise ValueError("bad names are refused")
    return name.upper()

def run():
    log = []
    node = Node(log)
    said = [node.handle(item) for item in ("", 7, "one", "two", "three", "quiet", "bad", "LAST", "last", 8)]
    log.append("last")
    return said, log, node.handle("more"), node.store.taken
"""


def run(text: str) -> Any:
    space: dict[str, Any] = {"const": lambda value: value}
    exec(compile(text.replace("from micropython import const\n", ""), "parts", "exec"), space)
    return space["run"]()


def shrunk(text: str = PARTS, kept: Collection[str] | None = ("append", "upper", "handle")) -> str:
    return merge({"parts": text}, {"parts": {"run"}}, kept)["parts"]


def functions(text: str) -> int:
    return sum(isinstance(node, ast.FunctionDef) for node in ast.walk(ast.parse(text)))


@pytest.mark.parametrize("kept", [("append", "upper", "handle"), None], ids=["letters", "names"])
def test_a_smaller_program_does_the_same(kept: Collection[str] | None) -> None:
    text = shrunk(kept=kept)
    assert run(text) == run(PARTS)
    assert len(text) < len(PARTS)


def test_classes_and_functions_of_one_place_are_put_there() -> None:
    text = shrunk()
    assert text.count("class ") == 1
    assert functions(text) == 3  # __init__, handle, run
    assert "unread" not in text


def test_texts_for_people_become_one_and_others_stay() -> None:
    text = (
        "def run():\n    return ['a text for people', 'for people', 'another of the kind', 'a_key_of_json']\n"
    )
    small = shrunk(text)
    assert run(small) == run(text)
    assert small.count("text for people") == 1
    assert "'a_key_of_json'" in small


NEEDED = {
    "a default": """
        def f(x=1):
            return [x]
        def run():
            return f()
        """,
    "the condition of a loop": """
        def f(x):
            y = x + x
            return y
        def run():
            y = 0
            while f(y) < 3:
                y += 1
            return y
        """,
    "a value out of a loop": """
        def f(x):
            for y in x:
                if y:
                    return [y]
        def run():
            y = f([0, 2])
            return y
        """,
    "itself": """
        def f(x):
            return [x] + g(x)
        def g(x):
            return f(x - 1) if x else []
        def run():
            return f(3)
        """,
    "any arguments": """
        def f(*x):
            return x
        def run():
            return f(1, 2)
        """,
    "what it leaves to others": """
        def f(x):
            return lambda: x
        def run():
            return f(1)()
        """,
    "something before it": """
        log = []
        def f(x):
            log.append(x)
            return x
        def run():
            a = [log.append(1), f(2)]
            return a, log
        """,
}


@pytest.mark.parametrize("body", NEEDED.values(), ids=NEEDED.keys())
def test_what_cannot_be_written_without_a_call_keeps_it(body: str) -> None:
    text = textwrap.dedent(body)
    assert functions(shrunk(text)) >= 2
    assert run(shrunk(text)) == run(text)


PUT = {
    "a variable of both": """
        def f(x):
            x += 1
            return x
        def run():
            x = 1
            y = f(x)
            return x, y
        """,
    "an error of both": """
        def f(x):
            try:
                return 1 // x
            except ZeroDivisionError as e:
                return str(e)
        def run():
            e = f(0)
            return e
        """,
    "no return at the end": """
        def f(x):
            if x:
                return x
            print
        def run():
            y = f(0)
            return y
        """,
    "a value out of a loop, returned": """
        def f(x):
            for y in x:
                if y:
                    return y
        def run():
            return f([0, 2])
        """,
    "conditions": """
        def f(x):
            return x
        def run():
            if not f(0):
                return 1
            elif f(1):
                return 2
        """,
}


@pytest.mark.parametrize("body", PUT.values(), ids=PUT.keys())
def test_variables_and_returns_are_kept_apart(body: str) -> None:
    text = textwrap.dedent(body)
    assert functions(shrunk(text)) == 1
    assert run(shrunk(text)) == run(text)


def test_parts_with_names_of_their_owner_stay_parts() -> None:
    text = (
        "class Part:\n    def __init__(self):\n        self.size = 1\n"
        "class Whole:\n    def __init__(self):\n        self.size = 2\n        self.part = Part()\n"
        "def run():\n    whole = Whole()\n    return whole.size, whole.part.size\n"
    )
    assert shrunk(text).count("class ") == 2
    assert run(shrunk(text)) == (2, 1)


def test_a_part_that_others_name_is_still_found() -> None:
    text = (
        "class Part:\n    def __init__(self, size):\n        self.size = size\n"
        "class Whole:\n    def __init__(self):\n        self.part = Part(3)\n"
        "def run():\n    return getattr(getattr(Whole(), 'part'), 'size')\n"
    )
    small = shrunk(text, kept=("part", "size"))
    assert small.count("class ") == 1
    assert run(small) == 3


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("a = g()\n    b = a + 1\n    c = b + 1\n    return c", 1),
        ("a = g()\n    b = g()\n    return a + b", 2),
        ("a = 0\n    for b in (1, 2):\n        c = a\n        a = b\n    return c, a", 3),
        ("a = g()\n    from math import pi\n    b = g()\n    return a + b + int(pi)", 2),
        ("from math import pi\n    a = 3\n    b = a\n    return int(pi) + b", 2),
        (
            "a = g()\n    try:\n        b = a + h()\n    except NameError as e:\n        c = a\n    return c",
            2,
        ),
    ],
)
def test_variables_share_a_place_when_only_one_is_needed(body: str, count: int) -> None:
    text = f"def g():\n    return 5\ndef run():\n    {body}\n"
    tree = ast.parse(text)
    share_locals(tree)
    assert run(ast.unparse(tree)) == run(text)
    stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    assert len(stored) == count


def test_all_that_umqtt_has_keeps_its_name() -> None:
    sources = [provision().umqtt / "umqtt" / "simple.py", NEWER_UMQTT / "umqtt" / "simple.py"]
    for source in sources:
        client = next(
            n for n in ast.parse(source.read_text()).body if isinstance(n, ast.ClassDef) and n.body[1:]
        )
        nodes = list(ast.walk(client))
        own = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
        own |= {node.attr for node in attributes if ast.unparse(node.value) == "self"}
        assert {name for name in own if not name.startswith("_")} <= UMQTT, source


def test_all_nodes_are_seen_in_order_but_for_contexts() -> None:
    for path in (product() / "main.py", product() / "settings.py", product() / "update" / "step3_offer.py"):
        tree = ast.parse(path.read_text())
        expected = [node for node in ast.walk(tree) if not isinstance(node, ast.expr_context)]
        assert nodes_of(tree) == expected
        assert len(expected) > 100
