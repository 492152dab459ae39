"""What is wrong with a file and where: its name, line, column, the line itself, what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

Path = tuple[int | str, ...]  # of keys and indices, from the top of a file
_PASSWORD = re.compile(r"(://[^/:@\s]*):\S*@")
_SHOWN_COLUMNS = 100  # of a long line, this much around the problem


@dataclass(frozen=True)
class Source:
    """A text that was read: a file, or a command-line override.

    `secret`: nothing of it may be quoted.
    """

    name: str
    lines: tuple[str, ...]
    secret: bool = False


@dataclass(frozen=True)
class Span:
    """A place in a source. Line and column count from 1."""

    source: Source
    line: int
    column: int
    length: int = 1


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, at one place."""

    where: Span
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return without_passwords(self._text())

    def _text(self) -> str:
        where = self.where
        if where.source.secret:
            return (
                f"{where.source.name}: this cannot be used\n"
                "        it lies outside of the folders of the scenario and of this command: it is not quoted"
            )
        head = f"{where.source.name}:{where.line}:{where.column}: {self.message}"
        lines = [head, *_excerpt(where)]
        if self.hint:
            lines.append(f"        {self.hint}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Complaint:
    """One thing in a well-formed file that makes no sense.

    `at_key`: the key is what is wrong, not its value.
    """

    path: Path
    message: str
    hint: str = ""
    at_key: bool = False


class LocatedError(ValueError):
    """A file (or a setting) cannot be used. `problems` holds every one found, sorted by place."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems), key=_place))
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(dict.fromkeys(map(str, self.problems)))  # of a secret file nothing tells them apart


def without_passwords(text: str) -> str:
    """Return what of `text` may be shown and kept: of `mqtt://user:password@host` not the password."""
    return _PASSWORD.sub(r"\1:***@", text)


def fail(where: Span, message: str, hint: str = "") -> NoReturn:
    """Raise a LocatedError with one problem."""
    raise LocatedError([Problem(where, message, hint)])


def _place(problem: Problem) -> tuple[str, int, int, str]:
    where = problem.where
    return where.source.name, where.line, where.column, problem.message


def nearest(word: object, allowed: Iterable[str], cutoff: float = 0.5) -> str | None:
    """Return the allowed word that `word` was most probably meant to be; alike as `cutoff` at least, 1 for
    equal."""
    import difflib  # here: a run without mistakes has no use for it

    close = difflib.get_close_matches(str(word)[:100], list(allowed), n=1, cutoff=cutoff)
    return close[0] if close else None


def choice_hint(word: object, allowed: Iterable[str]) -> str:
    """Return `did you mean ...?` and what is allowed."""
    names = list(allowed)
    meant = nearest(word, names)
    listing = f"allowed here: {', '.join(names)}" if names else "nothing is allowed here"
    return f"did you mean `{meant}`? {listing}" if meant else listing


def shown(value: object) -> str:
    """Return a value as a message quotes it: short, on one line."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if value is None:
        return "nothing"
    text = (
        str(value).lower() if isinstance(value, bool) else without_passwords(str(value))
    )  # before it is cut
    text = text if len(text) <= 60 else text[:57] + "..."
    return f"`{''.join(char if char.isprintable() else ' ' for char in text)}`"


def _excerpt(where: Span) -> list[str]:
    """Return the source line, cut to a window, with a caret line under the place."""
    if not 1 <= where.line <= len(where.source.lines):
        return []
    line = without_passwords(where.source.lines[where.line - 1])  # before it is cut
    # one column for a tab, as it is counted; and no control codes of a hostile file to the terminal
    text = "".join(char if char.isprintable() else " " for char in line)
    start = max(0, where.column - 1 - _SHOWN_COLUMNS // 2) if len(text) > _SHOWN_COLUMNS else 0
    window = text[start : start + _SHOWN_COLUMNS]
    offset = min(where.column - 1 - start, len(window))
    carets = "^" * max(1, min(where.length, len(window) - offset))
    return [f"{where.line:6} | {window}", f"       | {' ' * offset}{carets}"]
