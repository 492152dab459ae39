"""docs/scenario-reference.md, made from the schema so that it cannot be out of date.

`python -m dcompute_sim.scenario.reference` rewrites it and the schema file that ships with the scenarios;
a test holds both to what this makes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dcompute_sim.checks import CHECKS
from dcompute_sim.faults import KINDS, Fault
from dcompute_sim.faults.schedule import EVENTS
from dcompute_sim.scenario.schema import SCHEMA_FILE, VARIABLE, json_schema, json_schema_text

MARK = "<!-- Generated from the schema by `python -m dcompute_sim.scenario.reference`; do not edit. -->"
_ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = _ROOT / "docs" / "scenario-reference.md"
TUTORIAL = _ROOT / "docs" / "scenarios.md"
SCHEMA = _ROOT / "scenarios" / SCHEMA_FILE

_INTRODUCTION = (
    "Every key of a scenario file, every fault, expectation and event. How scenarios are written is told by "
    "[the tutorial](scenarios.md)."
)
_UNITS = (
    "Quantities are written with their unit: durations `250ms`, `10s`, `5min`, `1h30m`; sizes `200B`, "
    "`64KiB`; rates\n`20/s`, `3/min`; bandwidths `10KiB/s`, `250kbit/s`; fractions `50%`."
)
_SECTIONS = (
    ("`fleet`: groups by name", "Group"),
    ("`access_points` of a group", "AccessPoint"),
    ("`stand_ins` of a group", "StandIns"),
    ("`dht` of `stand_ins`", "Climate"),
    ("`uart` of `stand_ins`", "SerialTalker"),
    ("`network` of the scenario", "NetworkSettings"),
    ("`network` of a group", "OwnNetwork"),
    ("`work`: how long a task takes", "Distribution"),
    ("`limits` of the broker", "BrokerLimits"),
    ("`master`", "Master"),
    ("`workload`: a list of streams", "TaskStream"),
    ("`target` of a stream", "TaskTarget"),
    ("`select` of a fault", "Select"),
    ("`when` of a fault or a stream", "When"),
    ("`updates`: new versions over the air", "Update"),
    ("`campaign` of an update: in waves", "Rollout"),
    ("`random`: a swarm", "Swarm"),
)
_OTHERS = {
    "Priority": "`7`, `1..10` or weights `{10: 1, 5: 3, 1: 6}`",
    "Loop": "`open` or `{closed: {outstanding: 8}}`",
    "Uniform": "`{min: 10ms, max: 1s}`",
    "Normal": "`{mean: 1s, sd: 200ms}`",
    "Exponential": "`{mean: 1s}`",
    "Lognormal": "`{median: 1s, sigma: 0.5}`",
}


def reference() -> str:
    """Return the reference in Markdown."""
    schema = json_schema()
    definitions = schema["$defs"]
    parts = [MARK, "# Scenario reference", _INTRODUCTION, _UNITS, "## A scenario file", _table(schema)]
    for title, name in _SECTIONS:
        definition = definitions[name]
        parts += [f"## {title}", _text(definition.get("description", "")), _table(_mapping(definition))]
    parts += [_faults(definitions), _checks(schema), _events()]
    return "\n\n".join(part for part in parts if part) + "\n"


def _mapping(definition: dict[str, Any]) -> dict[str, Any]:
    """Return the definition's mapping form (short forms stand beside it in `anyOf`)."""
    forms = [form for form in definition.get("anyOf", []) if "properties" in form]
    return forms[0] if forms else definition


def _table(definition: dict[str, Any], leave_out: frozenset[str] = frozenset()) -> str:
    rows = ["| key | value | default | |", "|---|---|---|---|"]
    for key, entry in definition.get("properties", {}).items():
        if key not in leave_out:
            default = "required" if key in definition.get("required", ()) else _default(entry)
            rows.append(f"| `{key}` | {_type(entry)} | {default} | {_text(entry.get('description', ''))} |")
    return "\n".join(rows) if len(rows) > 2 else ""


def _default(entry: dict[str, object]) -> str:
    if "default" not in entry:
        return ""
    value = entry["default"]
    return f"`{_inline(value)}`"


def _inline(value: object) -> str:
    """Return a value in YAML's flow style."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _type(entry: dict[str, Any]) -> str:
    """Return what kind of value it takes, in words."""
    if "$comment" in entry:
        return str(entry["$comment"])
    if "$ref" in entry:
        return _named(entry["$ref"].rsplit("/", 1)[1])
    if "const" in entry:
        return f"`{_inline(entry['const'])}`"
    if "enum" in entry:
        return (
            " \\| ".join(f"`{_inline(word)}`" for word in entry["enum"]) if len(entry["enum"]) < 9 else "name"
        )
    if "anyOf" in entry or "oneOf" in entry:
        forms = [form for form in entry.get("anyOf", entry.get("oneOf", [])) if form != VARIABLE]
        return " or ".join(dict.fromkeys(_type(form) for form in forms))
    if entry.get("type") == "array":
        if "prefixItems" in entry:
            return f"two: [{_type(entry['prefixItems'][0])}, {_type(entry['prefixItems'][1])}]"
        return f"list of {_type(entry.get('items', {}))}"
    if entry.get("type") == "object":
        inner = entry.get("additionalProperties")
        return f"mapping to {_type(inner)}" if isinstance(inner, dict) and inner else "mapping"
    return {"integer": "whole number", "boolean": "true or false", "string": "string"}.get(
        str(entry.get("type")), str(entry.get("type", "any"))
    )


def _named(definition: str) -> str:
    """Return a definition as a link to where it is described."""
    for title, name in _SECTIONS:
        if name == definition:
            anchor = re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-")
            return f"[{definition.removeprefix('Own').lower()}](#{anchor})"
    return _OTHERS.get(definition, "fault")


def _text(description: str) -> str:
    """Return a description as one line of a table."""
    return " ".join(description.split()).replace("|", "\\|")


def _faults(definitions: dict[str, Any]) -> str:
    common = frozenset(Fault.model_fields) | {"kind", "select"}
    lines = [
        "## `faults`: a list",
        "Every fault has a `kind` and one of `at`, `every`, `between`, `when`, or a `phase` (its start):",
        _table(definitions["Reset"], leave_out=frozenset({"kind"})),
        "The kinds, and the keys that each has besides:",
    ]
    rows = ["| kind | done to | | its own keys |", "|---|---|---|---|"]
    for kind, cls in KINDS.items():
        definition = definitions[cls.__name__]
        own = [
            f"`{key}` ({_type(entry)}{_or_default(entry)}): {_text(entry.get('description', ''))}"
            for key, entry in definition["properties"].items()
            if key not in common
        ]
        rows.append(f"| `{kind}` | {cls.struck} | {_text(definition['description'])} | {'<br>'.join(own)} |")
    return "\n\n".join([*lines, "\n".join(rows)])


def _or_default(entry: dict[str, object]) -> str:
    return f", {_default(entry)}" if _default(entry) else ""


def _checks(schema: dict[str, Any]) -> str:
    named = schema["properties"]["expect"]["items"]["anyOf"][1]["properties"]
    parts = [
        "## `expect`: a list",
        "An entry is a name, or a name with parameters: `- dead_within: {bound: 2s}`. An expectation is "
        "held, failed, or\ninconclusive when the run never put it to the test.",
    ]
    for name in CHECKS:
        definition = named[name]
        if "$ref" in definition:
            definition = schema["$defs"][definition["$ref"].rsplit("/", 1)[1]]
        parts += [f"### `{name}`", definition.get("description", "").strip(), _table(definition)]
    return "\n\n".join(part for part in parts if part)


def _events() -> str:
    rows = ["| event | fields | |", "|---|---|---|"]
    for name, cls in EVENTS.items():
        fields = ", ".join(f"`{field}`" for field in cls.__struct_fields__ if field != "t_us")
        own_doc = cls.__doc__ if cls.__doc__ != cls.__base__.__doc__ else ""
        rows.append(f"| `{name}` | {fields} | {_text(own_doc or '')} |")
    return "\n\n".join(["## Events, for `when` and `sometimes`", "\n".join(rows)])


if __name__ == "__main__":
    DOCUMENT.write_text(reference(), encoding="utf-8")
    SCHEMA.write_text(json_schema_text(), encoding="utf-8")
