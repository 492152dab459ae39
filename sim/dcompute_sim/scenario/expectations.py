"""`expect:` entries: `- no_false_deaths` or `- dead_within: {bound: 2s}`, with the checks' own models."""

from __future__ import annotations

from functools import cache, partial
from typing import Annotated

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, SchemaValidator, core_schema

from dcompute_sim.checks import CHECKS, Check
from dcompute_sim.yamlfile.yaml_model import wrong


class _FromRegistry:
    """Validates an entry with the model that `CHECKS` has for its name; dumps it as it was written.

    By a union of the one that is named, or of all if it is none, as `faults.AnyFault` does, and for the same
    reason.
    """

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _check_named, serialization=core_schema.plain_serializer_function_ser_schema(_written)
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, object]:
        bare = [
            name
            for name, check in CHECKS.items()
            if not any(field.is_required() for field in check.model_fields.values())
        ]
        for check in CHECKS.values():
            check.model_rebuild()
        keyed = {name: handler(check.__pydantic_core_schema__) for name, check in CHECKS.items()}
        mapping = {"type": "object", "properties": keyed, "additionalProperties": False}
        return {"anyOf": [{"enum": bare}, mapping | {"minProperties": 1, "maxProperties": 1}]}


Expectation = Annotated[Check, _FromRegistry()]
"""A check with its parameters."""


def _check_named(value: object) -> object:
    value = _well_formed(value)
    name = _name(value)
    named = CHECKS.get(name)
    return _union(tuple(CHECKS.items()) if named is None else ((name, named),)).validate_python(value)


@cache
def _union(checks: tuple[tuple[str, type[Check]], ...]) -> SchemaValidator:
    choices: dict[object, CoreSchema] = {
        name: core_schema.no_info_before_validator_function(
            partial(_parameters, name), core_schema.no_info_plain_validator_function(check.model_validate)
        )
        for name, check in checks
    }
    return SchemaValidator(core_schema.tagged_union_schema(choices, discriminator=_name))


def _well_formed(value: object) -> object:
    """Return `value` when it names one expectation."""
    if isinstance(value, dict) and len(value) > 1:
        raise wrong("one expectation per entry: a `-` for each, its parameters indented below its name")
    if isinstance(value, (Check, str)) or (isinstance(value, dict) and value):
        return value
    raise wrong("an expectation is a name, or a name with parameters: `- dead_within: {bound: 2s}`")


def _name(value: object) -> str:
    """Return which check an entry names."""
    if isinstance(value, Check):
        return value.name
    return str(next(iter(value))) if isinstance(value, dict) else str(value)


def _parameters(name: str, value: object) -> object:
    if isinstance(value, Check):
        return value
    parameters = value.get(name) if isinstance(value, dict) else None
    return {} if parameters is None else parameters


def _written(check: Check) -> object:
    parameters = check.model_dump(by_alias=True, exclude_defaults=True)
    return {check.name: parameters} if parameters else check.name
