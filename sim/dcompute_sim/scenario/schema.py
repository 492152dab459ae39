"""The scenario language as JSON Schema, with which editors complete, explain and check while one types."""

from __future__ import annotations

import json
from typing import Any

from dcompute_sim.scenario.scenario_model import Scenario
from dcompute_sim.yamlfile.units import SHOW

SCHEMA_FILE = "scenario.schema.json"
"""Its name beside the scenarios that ship; their first line refers to it."""

_REFERENCE = r"\$\{[^}]+\}"
VARIABLE = {"type": "string", "pattern": _REFERENCE}
"""What stands for a variable in the schema."""

_NAMES = {"type": "string", "pattern": r"^[A-Za-z_][A-Za-z0-9_-]*$"}
_OF_FILES: dict[str, object] = {
    "include": {
        "description": "Scenario files, relative to this one, that this one is laid over: mappings are "
        "merged, lists and values replaced.",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
    },
    "vars": {
        "description": "Values by name; `${name}` stands for them anywhere, `$$` for a dollar sign. "
        "Override with `--set vars.name=value`.",
        "type": "object",
        "propertyNames": _NAMES,
    },
    "matrix": {
        "description": "Lists of values by variable, top-level key or dotted path: the scenario runs once "
        "for each combination.",
        "type": "object",
        "additionalProperties": {"type": "array", "minItems": 1},
    },
}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a scenario file."""
    schema: dict[str, Any] = _tidy(Scenario.model_json_schema(by_alias=True))
    _allow_variables(schema)
    schema["properties"] |= _OF_FILES
    # what an included file or a phase list can supply is not required of each file
    schema["required"] = ["version"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "dcompute scenario, version 1",
    } | schema


def json_schema_text() -> str:
    """Return `json_schema` as the text of the file that ships with the scenarios."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def _tidy(node: object) -> Any:
    """Return it without what helps nobody (titles, `null` for a key left out), and with defaults as one
    writes them."""
    if isinstance(node, list):
        return [_tidy(item) for item in node if item != {"type": "null"}]
    if not isinstance(node, dict):
        return node
    tidy = {key: _tidy(item) for key, item in node.items() if key != "title" or not isinstance(item, str)}
    if "patternProperties" in tidy:
        tidy["additionalProperties"] = False
    if "anyOf" in tidy and len(tidy["anyOf"]) == 1:
        tidy = tidy.pop("anyOf")[0] | tidy
    if "default" in tidy:
        default = _as_written(tidy.pop("default"), tidy)
        if default not in (None, "", {}, []):
            tidy["default"] = default
    return tidy


def _as_written(value: object, schema: dict[str, Any]) -> Any:
    """Return a default as a scenario file would say it."""
    if value is None:
        return None
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if item not in (None, False)}
    if isinstance(value, list):
        inner = schema.get("prefixItems", [schema.get("items", {})] * len(value))
        return [_as_written(item, part) for item, part in zip(value, inner, strict=True)]
    show = SHOW.get(schema.get("$comment", ""))
    return show(value) if show is not None and not isinstance(value, str) else value


def _allow_variables(node: object) -> None:
    """Let `${name}` stand for any number, quantity or choice."""
    if isinstance(node, list):
        for item in node:
            _allow_variables(item)
        return
    if not isinstance(node, dict):
        return
    for key, item in node.items():
        if key not in ("default", "examples", "enum", "required", "propertyNames", "discriminator"):
            _allow_variables(item)
    if node.get("type") == "string" and "pattern" in node:
        node["pattern"] = f"(?:{node['pattern']})|{_REFERENCE}"
    elif node.get("type") in ("integer", "number", "boolean") or ("enum" in node and "const" not in node):
        typed = {key: node.pop(key) for key in list(node) if key not in ("description", "default")}
        node["anyOf"] = [typed, dict(VARIABLE)]
