"""Turns pydantic's errors into problems at places of the file, in plain words.

Pydantic names a path of keys, with the tags of unions in between, and a kind of error. The words wanted
(which keys are allowed there, which one was probably meant) come from the models themselves. Only what a
union's tags stand for must be said, as `Choices`: no model knows that a tag `crash` is called a fault.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dcompute_sim.yamlfile.place import locate
from dcompute_sim.yamlfile.problems import Path, Problem, Span, choice_hint, shown
from dcompute_sim.yamlfile.tree import Leaf, Map


@dataclass(frozen=True)
class Choices:
    """Entries whose model is chosen by a word.

    Args:
        noun: what the word names, as `fault`.
        models: the model of each word.
        key: the key under which the word stands (`kind: crash`); None when the word is itself the key
            (`crash: {...}`) or all of the entry.
        base: the type that stands for all of them in the models, where it is no union.
    """

    noun: str
    models: Mapping[str, type[BaseModel]]
    key: str | None = None
    base: type[BaseModel] | None = None


_NOUNS = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "`true` or `false`",
    "bool_parsing": "`true` or `false`",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping (`key: value`)",
    "model_type": "a mapping (`key: value`)",
    "model_attributes_type": "a mapping (`key: value`)",
    "none_required": "nothing",
}


def problems_of(
    error: ValidationError,
    root: Map,
    model: type[BaseModel],
    choices: Sequence[Choices] = (),
    file_keys: Sequence[str] = (),
) -> list[Problem]:
    """Say every error as a problem; those about one place (a union's branches) become one.

    Args:
        model: what `root` was validated as.
        choices: the unions in it.
        file_keys: keys that such a file may have at its top beside those of `model`, as `include`.
    """
    together: dict[Path, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        real, _, _ = locate(root, detail["loc"])
        extra = detail["loc"][-1:] if detail["type"] in ("extra_forbidden", "missing") else ()
        together.setdefault(real + tuple(extra), []).append(detail)
    grammar = _Grammar(root, model, choices, file_keys)
    return [grammar.problem(details) for details in together.values()]


class _Grammar:
    """Finds the words for what is wrong in one file."""

    def __init__(
        self, root: Map, model: type[BaseModel], choices: Sequence[Choices], file_keys: Sequence[str]
    ) -> None:
        self._root = root
        self._model = model
        self._choices = choices
        self._file_keys = file_keys

    def problem(self, details: Sequence[ErrorDetails]) -> Problem:
        """Say as one problem what is wrong at one place."""
        detail = details[0]
        loc = detail["loc"]
        _, key_span, node = locate(self._root, loc)
        kind = detail["type"]
        if kind == "extra_forbidden":
            return self._unknown_key(loc, key_span or node.span)
        if kind == "missing" and isinstance(loc[-1], int):
            return Problem(node.span, "two values are needed here", "like `[10s, 40s]`")
        if kind == "missing":
            return Problem(self._heading(loc[:-1]), f"`{loc[-1]}` is missing here", self._description(loc))
        if loc[-1:] == ("[key]",) and kind == "string_pattern_mismatch":
            message = f"{shown(loc[-2])} cannot be a name here"
            return Problem(
                key_span or node.span, message, "a letter, then up to 39 letters, digits, `-` or `_`"
            )
        empty = isinstance(node, Leaf) and node.value is None
        where = key_span if empty and key_span else node.span
        if kind in ("union_tag_invalid", "union_tag_not_found"):
            return self._tag(detail, where)
        if kind == "string_pattern_mismatch":
            unseen = [char for char in detail["input"] if not char.isprintable()]
            what = (
                f"has the character U+{ord(unseen[0]):04X} in it, which nobody sees"
                if unseen
                else "will not do"
            )
            return Problem(where, f"{shown(detail['input'])} {what}", self._description(loc))
        message, hint = _words(details)
        return Problem(where, message, hint)

    def _heading(self, loc: Path) -> Span:
        """Return where a mapping that lacks something is named: its key, or its first line."""
        real, key_span, node = locate(self._root, loc)
        if key_span and isinstance(real[-1], str):
            return key_span
        return Span(node.span.source, node.span.line, node.span.column)

    def _unknown_key(self, loc: Path, where: Span) -> Problem:
        name = str(loc[-1])
        model = self._model_at(loc[:-1])
        allowed = _keys(model) if model is not None else []
        if model is self._model:
            allowed = [*allowed, *self._file_keys]
        for choice in self._choices:
            others = [word for word, other in choice.models.items() if name in _keys(other)]
            if choice.key is not None and others:
                for word in (word for word, chosen in choice.models.items() if chosen is model):
                    message = f"a `{word}` has no `{name}`; these have: {', '.join(others)}"
                    return Problem(where, message, f"allowed here: {', '.join(allowed)}")
        return Problem(where, f"unknown key `{name[:60]}`", choice_hint(name, allowed))

    def _tag(self, detail: ErrorDetails, where: Span) -> Problem:
        """Complain of no word where a choice is to be made, or one that nothing is called by."""
        context, loc = detail["ctx"], detail["loc"]
        by = context["discriminator"]  # a key in quotes, or the name of a function and ()
        choice = next(c for c in self._choices if by == f"'{c.key}'" or (c.key is None and by.endswith("()")))
        if detail["type"] == "union_tag_not_found":
            hint = f"one of: {', '.join(choice.models)}"
            return Problem(self._heading(loc), f"`{choice.key}` is missing here", hint)
        if choice.key is not None:
            where = locate(self._root, (*loc, choice.key))[2].span
        elif isinstance(node := locate(self._root, loc)[2], Map):
            where = next(iter(node.keys.values()))
        name = context["tag"]
        return Problem(where, f"no {choice.noun} is called `{name}`", choice_hint(name, choice.models))

    def _description(self, loc: Path) -> str:
        """Return the description of the field at `loc`."""
        model = self._model_at(loc[:-1])
        for name, field in (model.model_fields if model is not None else {}).items():
            if loc[-1] in (name, field.alias):
                return field.description or ""
        return ""

    def _model_at(self, loc: Path) -> type[BaseModel] | None:
        """Return the model that a path of pydantic's leads to, from the model of the whole file."""
        current: object = self._model
        for part in loc:
            current = self._step(current, part)
        return current if isinstance(current, type) and issubclass(current, BaseModel) else None

    def _step(self, current: object, part: int | str) -> object:
        current = _bare(current)
        if isinstance(current, type) and issubclass(current, BaseModel):
            for choice in self._choices:
                if current is choice.base and part in choice.models:
                    return choice.models[str(part)]
            for name, field in current.model_fields.items():
                if part in (name, field.alias):
                    return _bare(field.annotation)
            return None
        origin, arguments = get_origin(current), get_args(current)
        if origin in (list, tuple):
            return _bare(arguments[0])
        if origin is dict:
            return _bare(arguments[1])
        if origin in (Union, types.UnionType):
            for choice in self._choices:
                if choice.key is not None and part in choice.models:
                    return choice.models[str(part)]
            steps = (self._step(member, part) for member in arguments)
            return next((step for step in steps if step is not None), None)
        return None


def _words(details: Sequence[ErrorDetails]) -> tuple[str, str]:
    """Return message and hint for what is wrong with one value."""
    for detail in details:
        if detail["type"] in ("wrong", "unit"):
            return detail["msg"], ""
        if detail["type"] == "value_error":
            return str(detail["ctx"]["error"]), ""
    value = shown(details[0]["input"])
    hint = ""
    wanted: list[str] = []
    for detail in details:
        context = detail.get("ctx", {})
        if detail["type"] == "literal_error":
            allowed = [word.strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(", ")]
            if len(details) == 1:
                return f"{value} is not one of the words allowed", choice_hint(details[0]["input"], allowed)
            wanted += [f"`{word}`" for word in allowed]
        elif detail["type"] in _NOUNS:
            wanted.append(_NOUNS[detail["type"]])
            if detail["type"] == "string_type" and isinstance(detail["input"], (int, float, bool)):
                hint = "put it in quotes to make it a string"
        else:
            return f"{value}: {detail['msg'][:1].lower()}{detail['msg'][1:]}", ""
    return f"{value} is not {' or '.join(dict.fromkeys(wanted))}", hint


def _keys(model: type[BaseModel]) -> list[str]:
    """Return the keys a mapping of this model may have in a file."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _bare(annotation: object) -> object:
    """Return it without Annotated and without None."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        if len(members) == 1:
            return _bare(members[0])
    return annotation
