"""mosquitto's acl_file as a scenario has it, read line by line (mosquitto.conf(5), `acl_file`)."""

from __future__ import annotations

from dataclasses import dataclass

from dcompute_sim.yamlfile.yaml_model import wrong

_ACCESS = {
    "read": (False, True),
    "write": (True, False),
    "readwrite": (True, True),
    "deny": (False, False),
}
"""By its word: whether who has it may publish, and whether it may hear. `deny` goes before all others."""


@dataclass(frozen=True, slots=True)
class AclLine:
    """One line of it that allows or denies something.

    Attributes:
        user: whom it is for; "" for who gives no name. A pattern is for everybody.
        topics: a filter; in a pattern with `%c` for the client id and `%u` for the user's name.
    """

    user: str
    is_pattern: bool
    writes: bool
    reads: bool
    topics: str

    @property
    def denies(self) -> bool:
        """Say whether nobody may do anything there."""
        return not (self.writes or self.reads)


def acl_lines(text: str) -> list[AclLine]:
    """Read it; complains of the first line that mosquitto would not take."""
    user, found = "", []
    for number, line in enumerate(text.splitlines(), 1):
        word, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        if not word or word.startswith("#"):
            continue
        if word == "user" and rest:
            user = rest
        elif word in ("topic", "pattern") and rest:
            first, _, topics = rest.partition(" ")
            if not topics:
                first, topics = "readwrite", rest
            if first not in _ACCESS:
                raise _wrong_line(number, line, f"`{first}` is no access: read, write, readwrite or deny")
            topics = topics.strip()
            if not _is_filter(topics):
                raise _wrong_line(number, line, "`+` is a level of its own, `#` the last one")
            found.append(AclLine(user, word == "pattern", *_ACCESS[first], topics))
        else:
            raise _wrong_line(
                number, line, "what it has are `user NAME`, and `topic` or `pattern` with a topic"
            )
    return found


def _is_filter(topics: str) -> bool:
    levels = topics.split("/")
    return "#" not in topics.removesuffix("#") and all(
        level in ("+", "#") or not {"+", "#"} & set(level) for level in levels
    )


def _wrong_line(number: int, line: str, why: str) -> Exception:
    return wrong(f"line {number} of the acl_file, `{line.strip()}`: {why}")
