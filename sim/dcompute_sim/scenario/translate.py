"""From pydantic's errors and semantic complaints to problems at places in the file, in plain words."""

from __future__ import annotations

import types
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from dcompute_sim.checks import CHECKS, Check
from dcompute_sim.scenario.faults import KINDS
from dcompute_sim.scenario.model import Scenario
from dcompute_sim.scenario.problems import Problem, Span, choice_hint, shown
from dcompute_sim.scenario.tree import Leaf, Map, Node, Seq

Path = tuple[int | str, ...]
_FILE_KEYS = ("include", "vars", "matrix")  # of a file, not of the model
_NOUNS = {
    "string_type": "a text",
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


def problems_of(error: ValidationError, root: Map, model: type[BaseModel] = Scenario) -> list[Problem]:
    """Every error as a problem; those about one place (a union's branches) become one.

    Args:
        model: what `root` was validated as; other files than scenarios use this too.
    """
    together: dict[Path, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        real, _, _ = locate(root, detail["loc"])
        extra = detail["loc"][-1:] if detail["type"] in ("extra_forbidden", "missing") else ()
        together.setdefault(real + tuple(extra), []).append(detail)
    return [_problem(details, root, model) for details in together.values()]


def at(root: Map, path: Path, message: str, hint: str = "", *, key: bool = False) -> Problem:
    """A problem at `path`: at its value, or (`key`) at its key."""
    _, key_span, node = locate(root, path)
    return Problem(key_span if key and key_span else node.span, message, hint)


def locate(root: Map, path: Iterable[int | str]) -> tuple[Path, Span | None, Node]:
    """The deepest node on `path`, with its real path and its key's place.

    pydantic puts tags of unions into its paths (`faults.2.crash.for`); parts not in the file are passed.
    """
    node: Node = root
    real: list[int | str] = []
    key_span: Span | None = None
    for part in path:
        if isinstance(node, Map):
            key = next((key for key in node.entries if key == part or str(key) == str(part)), None)
            if key is not None or part in node.entries:
                key_span, node = node.keys[key], node.entries[key]
                real.append(part)
        elif isinstance(node, Seq) and isinstance(part, int) and part < len(node.items):
            key_span, node = node.items[part].span, node.items[part]
            real.append(part)
    return tuple(real), key_span, node


def _problem(details: Sequence[ErrorDetails], root: Map, top: type[BaseModel]) -> Problem:
    detail = details[0]
    loc = detail["loc"]
    _, key_span, node = locate(root, loc)
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown_key(loc, key_span or node.span, top)
    if kind == "missing" and isinstance(loc[-1], int):
        return Problem(node.span, "two values are needed here", "like `[10s, 40s]`")
    if kind == "missing":
        return Problem(_heading(root, loc[:-1]), f"`{loc[-1]}` is missing here", _describe(loc, top))
    if loc[-1] == "[key]":
        message = f"{shown(loc[-2])} cannot be a name here"
        return Problem(key_span or node.span, message, "a letter, then up to 39 letters, digits, `-` or `_`")
    empty = isinstance(node, Leaf) and node.value is None
    where = key_span if empty and key_span else node.span
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _tag(detail, root, where)
    message, hint = _words(details)
    return Problem(where, message, hint)


def _heading(root: Map, loc: Path) -> Span:
    """Where a mapping that lacks something is named: its key, or its first line."""
    real, key_span, node = locate(root, loc)
    if key_span and isinstance(real[-1], str):
        return key_span
    return Span(node.span.source, node.span.line, node.span.column)


def _unknown_key(loc: Path, where: Span, top: type[BaseModel]) -> Problem:
    name = str(loc[-1])
    model = model_at(loc[:-1], top)
    allowed = _keys(model) if model is not None else []
    if model is Scenario:
        allowed = [*allowed, *_FILE_KEYS]
    if model in KINDS.values() and (others := [kind for kind, cls in KINDS.items() if name in _keys(cls)]):
        kind = next(kind for kind, cls in KINDS.items() if cls is model)
        message = f"a `{kind}` has no `{name}`; these have: {', '.join(others)}"
        return Problem(where, message, f"allowed here: {', '.join(allowed)}")
    return Problem(where, f"unknown key `{name[:60]}`", choice_hint(name, allowed))


def _tag(detail: ErrorDetails, root: Map, where: Span) -> Problem:
    """No such fault kind, or no such expectation."""
    context = detail.get("ctx", {})
    if detail["loc"][0] == "expect":
        name = context.get("tag", "")
        _, _, node = locate(root, detail["loc"])
        if isinstance(node, Map):
            where = next(iter(node.keys.values()))
        return Problem(where, f"no expectation is called `{name}`", choice_hint(name, CHECKS))
    if detail["type"] == "union_tag_not_found":
        return Problem(_heading(root, detail["loc"]), "`kind` is missing here", f"one of: {', '.join(KINDS)}")
    _, _, node = locate(root, (*detail["loc"], "kind"))
    name = context.get("tag", "")
    return Problem(node.span, f"no fault is called `{name}`", choice_hint(name, KINDS))


def _words(details: Sequence[ErrorDetails]) -> tuple[str, str]:
    """Message and hint for what is wrong with one value."""
    for detail in details:
        if detail["type"] in ("scenario", "unit", "choice"):
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
                hint = "put it in quotes to make it a text"
        else:
            return f"{value}: {detail['msg'][:1].lower()}{detail['msg'][1:]}", ""
    return f"{value} is not {' or '.join(dict.fromkeys(wanted))}", hint


def _describe(loc: Path, top: type[BaseModel]) -> str:
    """The description of the field at `loc`."""
    model = model_at(loc[:-1], top)
    for name, field in (model.model_fields if model is not None else {}).items():
        if loc[-1] in (name, field.alias):
            return field.description or ""
    return ""


def _keys(model: type[BaseModel]) -> list[str]:
    """The keys a mapping of this model may have in a file."""
    return [field.alias or name for name, field in model.model_fields.items()]


def model_at(loc: Path, top: type[BaseModel] = Scenario) -> type[BaseModel] | None:
    """The model that a path of pydantic's leads to, from the model of the whole file."""
    current: Any = top
    for part in loc:
        current = _step(current, part)
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def _step(current: Any, part: int | str) -> Any:
    current = _bare(current)
    if isinstance(current, type) and issubclass(current, BaseModel):
        if current is Check and part in CHECKS:
            return CHECKS[str(part)]
        found = next(
            (f.annotation for name, f in current.model_fields.items() if part in (name, f.alias)), None
        )
        return _bare(found)
    origin, arguments = get_origin(current), get_args(current)
    if origin in (list, tuple):
        return _bare(arguments[0])
    if origin is dict:
        return _bare(arguments[1])
    if origin in (Union, types.UnionType):
        if part in KINDS:
            return KINDS[str(part)]
        return next((stepped for member in arguments if (stepped := _step(member, part)) is not None), None)
    return None


def _bare(annotation: Any) -> Any:
    """Without Annotated and without None."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        members = [member for member in get_args(annotation) if member is not type(None)]
        if len(members) == 1:
            return _bare(members[0])
    return annotation
