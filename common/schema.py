"""Pieces of pydantic schemas: of requests, answers and settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, with_config
from pydantic_core import CoreSchema, core_schema

#: Of a typed dictionary that has the keys it names and no others.
closed = with_config(ConfigDict(extra="forbid", strict=True))
#: Of a key that a typed dictionary may leave out: OpenAPI calls it null by default, as of a model's field.
OMITTED: Any = Field(json_schema_extra={"default": None})


class OneOf:
    """The string is one of the names that a registry has: ``Annotated[str, OneOf(lambda: ROUTES)]``.

    As a ``Literal`` of the names, in validation and in JSON schemas, but read when the schema is built: give
    the model ``defer_build=True`` and it is built when it is first used, after extensions have registered
    theirs.
    """

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self._names = names

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.literal_schema(list(self._names()))
