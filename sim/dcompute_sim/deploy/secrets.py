"""`${NAME}` in a fleet file: from the environment, else from a file of secrets, and nothing else of it.

Replaced in the tree, after parsing: a secret can hold whatever it likes, and messages quote the file, where
only its name stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dcompute_sim.deploy.deploy_errors import InvalidInput
from dcompute_sim.yamlfile.problems import LocatedError, Problem, choice_hint
from dcompute_sim.yamlfile.tree import Leaf, Map, Node, Seq

_USE = re.compile(r"\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_secrets(path: Path) -> dict[str, str]:
    """Read lines of `NAME=value`, empty lines and `#` comments. Raises InvalidInput with the line's
    number."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"secrets {path}: {error}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not _NAME.fullmatch(name.strip()):  # the line itself is not shown: it is a secret
            raise InvalidInput(f"{path}:{number}: not a line of the kind NAME=value")
        found[name.strip()] = value.strip()
    return found


def substituted(root: Map, secrets: Mapping[str, str], environment: Mapping[str, str]) -> Map:
    """Return the tree with every `${NAME}` replaced. Raises LocatedError at each that is neither here nor
    there."""
    problems: list[Problem] = []

    def value_of(name: str, leaf: Leaf) -> str:
        if name in environment:
            return environment[name]
        if name in secrets:
            return secrets[name]
        where = (
            "the environment or the `secrets` file"
            if secrets
            else "the environment, and no `secrets` file is given"
        )
        message = f"`${{{name}}}` is not in {where}"
        problems.append(
            Problem(leaf.span, message, choice_hint(name, secrets) if secrets else f"export {name}=...")
        )
        return ""

    def walk(node: Node) -> Node:
        if isinstance(node, Map):
            return replace(node, entries={key: walk(entry) for key, entry in node.entries.items()})
        if isinstance(node, Seq):
            return replace(node, items=[walk(item) for item in node.items])
        if not _USE.search(node.text):
            return node
        text = _USE.sub(lambda match: value_of(match[1], node), node.text)
        return replace(node, value=text, text=text, plain=False)

    done = walk(root)
    if problems:
        raise LocatedError(problems)
    assert isinstance(done, Map)
    return done
