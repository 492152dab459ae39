"""`vars` and `${name}`: values said once and used anywhere, each keeping the place of its use."""

from __future__ import annotations

import re

from dcompute_sim.yamlfile.problems import LocatedError, Problem, choice_hint, fail, shown
from dcompute_sim.yamlfile.tree import MAX_NODES, Leaf, Map, Node, Seq, scalar

_REFERENCE = re.compile(r"\$\$|\$\{([^}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def substitute(root: Map) -> Map:
    """Return `root` without `vars`, each `${name}` replaced. Raises LocatedError with all unknown names."""
    variables = root.entries.get("vars")
    rest = Map(root.span, {key: node for key, node in root.entries.items() if key != "vars"}, root.keys)
    if variables is None:
        known = Map(root.span)
    elif isinstance(variables, Map):
        known = variables
    else:
        fail(variables.span, "`vars` is a mapping of names to values", "`vars: {nodes: 100}`")
    work = _Substitution(known)
    result = work.node(rest, ())
    for key, node in known.entries.items():  # also those nobody uses: a typo in one must not wait for its use
        work.node(node, (str(key),))
    if work.problems:
        raise LocatedError(work.problems)
    assert isinstance(result, Map)
    return result


class _Substitution:
    """One pass over a tree."""

    def __init__(self, variables: Map) -> None:
        self._variables = {str(key): node for key, node in variables.entries.items()}
        self._budget = MAX_NODES
        self.problems: list[Problem] = []
        for key, span in variables.keys.items():
            if not _NAME.fullmatch(str(key)):
                self.problems.append(Problem(span, f"{shown(key)} is not a variable's name", "use letters"))

    def node(self, node: Node, inside: tuple[str, ...]) -> Node:
        self._budget -= 1
        if self._budget < 0:
            fail(node.span, f"aliases and variables make more than {MAX_NODES:,} values", "repeat less")
        if isinstance(node, Seq):
            return Seq(node.span, [self.node(item, inside) for item in node.items])
        if isinstance(node, Map):
            entries = {key: self.node(entry, inside) for key, entry in node.entries.items()}
            return Map(node.span, entries, node.keys)
        if isinstance(node.value, str) and "$" in node.value:
            return self._leaf(node, inside)
        return node

    def _leaf(self, leaf: Leaf, inside: tuple[str, ...]) -> Node:
        whole = _REFERENCE.fullmatch(leaf.text)
        if whole is not None and whole[1] is not None:
            return self._value(whole[1], leaf, inside) or leaf
        text = _REFERENCE.sub(lambda found: self._inline(found, leaf, inside), leaf.text)
        if len(text) > 10_000:
            fail(leaf.span, "variables make this string longer than 10,000 characters", "repeat less")
        return Leaf(leaf.span, scalar(text) if leaf.plain else text, text, leaf.plain)

    def _inline(self, found: re.Match[str], leaf: Leaf, inside: tuple[str, ...]) -> str:
        if found[1] is None:
            return "$"  # `$$` stands for one
        value = self._value(found[1], leaf, inside)
        if value is None:
            return found[0]
        if not isinstance(value, Leaf):
            self._complain(leaf, f"`{found[0]}` is a list or mapping: it cannot stand inside a string")
            return ""
        return value.text

    def _value(self, name: str, leaf: Leaf, inside: tuple[str, ...]) -> Node | None:
        """Return the variable's value, itself substituted, placed where it is used; None when there is
        none."""
        if name not in self._variables:
            self._complain(leaf, f"no variable `{name}`", choice_hint(name, self._variables))
            return None
        if name in inside:
            self._complain(leaf, f"the variable `{name}` contains itself")
            return None
        value = self.node(self._variables[name], (*inside, name))
        return Leaf(leaf.span, value.value, value.text, value.plain) if isinstance(value, Leaf) else value

    def _complain(self, leaf: Leaf, message: str, hint: str = "") -> None:
        self.problems.append(Problem(leaf.span, message, hint))
