"""What the models of all our files share: frozen, no unknown keys, strict scalars, short forms."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    Strict,
    model_serializer,
)
from pydantic_core import CoreSchema, PydanticCustomError

Count = Annotated[int, Strict(), Field(ge=1, le=100_000)]
Flag = Annotated[bool, Strict()]
Text = Annotated[str, Field(min_length=1, max_length=10_000)]
Scalar = str | int | float | bool | None


class Model(BaseModel):
    """A mapping of a file. YAML keys that are Python keywords (`for`) are aliases."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        defer_build=True,  # a run needs the validator of the whole, and of the parts only those it draws
    )


EntryId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")]


class ListEntry(Model):
    """An entry of a list, with a name of its own."""

    id: EntryId | None = Field(
        default=None,
        description="Its own name; made of what the entry says when left out. What is drawn for it comes "
        "from the seed and this name, so that changing other entries changes nothing here.",
    )


class ShortModel(Model):
    """A mapping with a short form, such as `50ms` for `{constant: 50ms}`; dumped in it when that says all."""

    short_schema: ClassVar[dict[str, object]]

    def short(self) -> object:
        """Return the short form; None when only the mapping says it all."""
        raise NotImplementedError

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> object:
        short = self.short()
        return handler(self) if short is None else short

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, object]:
        reference = handler(schema)
        target = handler.resolve_ref_schema(reference)
        mapping = dict(target)
        target.clear()
        target["description"] = mapping.pop("description", "")
        target["anyOf"] = [cls.short_schema, mapping]
        return reference


def wrong(message: str) -> PydanticCustomError:
    """Return a validation error whose message is exactly `message`."""
    return PydanticCustomError("wrong", "{problem}", {"problem": message})


def exactly_one(model: Model, *keys: str) -> str:
    """Return the one of `keys` that is set; complains when none or several are."""
    given = [key for key in keys if getattr(model, key) is not None]
    if len(given) != 1:
        names = ", ".join(f"`{key}`" for key in keys)
        found = " and ".join(f"`{key}`" for key in given) if given else "none"
        raise wrong(f"exactly one of {names} is needed; found {found}")
    return given[0]
