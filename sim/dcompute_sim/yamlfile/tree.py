"""YAML text to a tree in which every key and value knows its place.

Built from the parser's events, for two reasons: every message can name line and column, and a hostile or
broken file (an alias bomb, a thousand brackets, ten megabytes) is refused while it is read, not after it has
filled the memory. Scalars follow YAML 1.2's core schema: no `yes`, no octal, no base 60, no dates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from dcompute_sim.yamlfile.problems import LocatedError, Problem, Source, Span

MAX_BYTES = 1_000_000
MAX_DEPTH = 40
MAX_NODES = 50_000  # counted with aliases expanded

_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")
_CONSTANTS: dict[str, object] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Key = str | int | float | bool | None


@dataclass(slots=True)
class Leaf:
    """A scalar. `plain`: written without quotes, so its text decides its type."""

    span: Span
    value: Any
    text: str
    plain: bool


@dataclass(slots=True)
class Seq:
    """A list."""

    span: Span
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Map:
    """A mapping; `keys` holds the place of each key."""

    span: Span
    entries: dict[Key, Node] = field(default_factory=dict)
    keys: dict[Key, Span] = field(default_factory=dict)


Node = Leaf | Seq | Map


def scalar(text: str) -> object:
    """Return the value of a plain scalar, by YAML 1.2's core schema."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and any(char.isdigit() for char in text):
        return float(text)
    return text


def decode(data: bytes, name: str, *, secret: bool = False) -> Source:
    """Return the bytes of a file as lines; complains, with the place, about what no YAML file holds."""
    head = Source(name, (), secret)
    if len(data) > MAX_BYTES:
        message = f"the file is longer than {MAX_BYTES:,} bytes"
        raise LocatedError([Problem(Span(head, 1, 1), message, "is this the right file?")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        message = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise LocatedError([Problem(Span(head, line, column), message, "save the file as UTF-8")]) from None
    source = Source(name, tuple(re.split("\r\n|\r|\n", text)), secret)
    for number, content in enumerate(source.lines, 1):
        if bad := _UNPRINTABLE.search(content):
            message = f"character U+{ord(bad[0]):04X} is not allowed in YAML"
            raise LocatedError([Problem(Span(source, number, bad.start() + 1), message, "remove it")])
    return source


def parse(source: Source) -> Node | None:
    """Return the one document of `source`; None when it holds nothing. Raises LocatedError."""
    return _Builder(source).document()


class _Builder:
    """Turns parser events into nodes, keeping to the limits."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._events: Iterator[Any] = iter(YAML(typ="safe", pure=True).parse("\n".join(source.lines)))
        self._anchors: dict[str, Node | None] = {}  # None: still being read
        self._nodes = 0
        self._problems: list[Problem] = []  # those after which reading can go on

    def document(self) -> Node | None:
        root: Node | None = None
        documents = 0
        try:
            for event in self._events:
                if isinstance(event, DocumentStartEvent):
                    documents += 1
                    if documents > 1:
                        self._fail(event, "a second document begins here", "a file holds one: remove `---`")
                    root = self._node(next(self._events), 1)
        except LocatedError:
            raise
        except MarkedYAMLError as error:
            self._problems.append(self._syntax(error))
        except YAMLError as error:
            self._problems.append(Problem(Span(self._source, 1, 1), f"not YAML: {_first_line(error)}"))
        except (ValueError, AssertionError, AttributeError, IndexError) as error:
            # the parser itself stumbles over some broken `%YAML` and `!tag` lines
            self._problems.append(Problem(Span(self._source, 1, 1), f"not YAML: {_first_line(error)}"))
        if self._problems:
            raise LocatedError(self._problems)
        return root

    def _node(self, event: NodeEvent, depth: int) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._fail(event, f"more than {MAX_NODES:,} values", "use groups, `count` and `every`")
        if depth > MAX_DEPTH:
            self._fail(event, f"nested more than {MAX_DEPTH} deep", "write it flatter")
        if isinstance(event, AliasEvent):
            return self._alias(event)
        tag = getattr(event, "tag", None)
        if tag is not None and str(tag) != "!" and not str(tag).startswith("tag:yaml.org,2002:"):
            self._fail(event, f"the tag `{tag}` has no meaning here", "remove it")
        anchor = event.anchor
        if anchor is not None:
            self._anchors[anchor] = None
        node: Node
        if isinstance(event, ScalarEvent):
            node = self._leaf(event, tag)
        elif isinstance(event, SequenceStartEvent):
            node = Seq(self._span(event))
            while not isinstance(inner := next(self._events), SequenceEndEvent):
                node.items.append(self._node(inner, depth + 1))
        else:
            node = self._mapping(event, depth)
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _alias(self, event: AliasEvent) -> Node:
        name = event.anchor
        if name not in self._anchors:
            self._fail(event, f"`*{name}` has no anchor `&{name}` before it", "define it above")
        node = self._anchors[name]
        if node is None:
            self._fail(event, f"`*{name}` contains itself", "an anchor cannot be used inside its own value")
        return node

    def _leaf(self, event: ScalarEvent, tag: object) -> Leaf:
        plain = event.style is None and tag is None
        text = event.value if event.value.isascii() else self._whole_characters(event)
        return Leaf(self._span(event), scalar(text) if plain else text, text, plain)

    def _whole_characters(self, event: ScalarEvent) -> str:
        """Put the two halves of an emoji's UTF-16 together, which JSON, being YAML too, may write."""
        try:
            return str(event.value).encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._fail(event, "half a character (a lone surrogate)", "write the character itself")

    def _mapping(self, event: NodeEvent, depth: int) -> Map:
        node = Map(self._span(event))
        merges: list[tuple[Event, Node]] = []
        while not isinstance(inner := next(self._events), MappingEndEvent):
            if not isinstance(inner, ScalarEvent):
                self._fail(inner, "a key must be a plain word", "did you mean a string in quotes?")
            key_node = self._leaf(inner, getattr(inner, "tag", None))
            key = key_node.value
            value = self._node(next(self._events), depth + 1)
            if key == "<<" and key_node.plain:
                merges.append((inner, value))
            elif key in node.entries:
                first = node.keys[key].line
                message = f"`{key}` is given twice; the first is on line {first}"
                self._problems.append(Problem(key_node.span, message, "keep one of them"))
            else:
                node.entries[key] = value
                node.keys[key] = key_node.span
        for where, merged in merges:
            self._merge(node, where, merged)
        return node

    def _merge(self, node: Map, where: Event, value: Node) -> None:
        """Merge `<<: *base`: take the base's entries, unless given here."""
        for base in value.items if isinstance(value, Seq) else [value]:
            if not isinstance(base, Map):
                self._fail(where, "`<<` takes a mapping or a list of mappings", "write `<<: *anchor`")
            for key, entry in base.entries.items():
                if key not in node.entries:
                    node.entries[key] = entry
                    node.keys[key] = base.keys[key]

    def _span(self, event: Event) -> Span:
        start, end = event.start_mark, event.end_mark
        length = end.column - start.column if end.line == start.line else 1
        return Span(self._source, start.line + 1, start.column + 1, max(1, length))

    def _fail(self, event: Event, message: str, hint: str) -> NoReturn:
        raise LocatedError([*self._problems, Problem(self._span(event), message, hint)])

    def _syntax(self, error: MarkedYAMLError) -> Problem:
        mark = error.problem_mark or error.context_mark
        if mark is None:
            return Problem(Span(self._source, 1, 1), f"not YAML: {_first_line(error)}")
        span = Span(self._source, mark.line + 1, mark.column + 1)
        line = self._source.lines[mark.line] if mark.line < len(self._source.lines) else ""
        if "'\\t'" in str(error.problem) or "\t" in line[: len(line) - len(line.lstrip())]:
            column = line.find("\t") + 1 or span.column
            return Problem(Span(self._source, span.line, column), "a tab", "YAML is indented with spaces")
        message = str(error.problem or error.context).strip()
        hint = ""
        if error.context and error.context_mark is not None and error.context_mark.line != mark.line:
            hint = f"{error.context} that began on line {error.context_mark.line + 1}"
        elif "mapping values are not allowed" in message:
            hint = "put a string with `: ` in it in quotes, or check the indentation"
        return Problem(span, f"not YAML: {message}", hint)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def to_data(node: Node) -> object:
    """Return plain Python values. Raises LocatedError when aliases blow it up beyond MAX_NODES."""
    budget = [MAX_NODES]
    return _to_data(node, budget)


def _to_data(node: Node, budget: list[int]) -> object:
    budget[0] -= 1
    if budget[0] < 0:
        message = f"aliases and variables make more than {MAX_NODES:,} values of this file"
        raise LocatedError([Problem(node.span, message, "repeat less")])
    if isinstance(node, Leaf):
        return node.value
    if isinstance(node, Seq):
        return [_to_data(item, budget) for item in node.items]
    return {key: _to_data(entry, budget) for key, entry in node.entries.items()}
