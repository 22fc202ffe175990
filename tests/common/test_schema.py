"""A field takes the names that the registry has when its schema is built."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from common.schema import OneOf

NAMES = ["one", "two"]


class _Asked(BaseModel):
    model_config = ConfigDict(defer_build=True)

    name: Annotated[str, OneOf(lambda: NAMES)]


def test_names_are_read_when_the_schema_is_built_and_told_as_of_a_literal() -> None:
    NAMES.append("three")
    assert _Asked(name="three").name == "three"
    assert _Asked.model_json_schema()["properties"]["name"]["enum"] == ["one", "two", "three"]
    with pytest.raises(ValidationError, match="Input should be 'one', 'two' or 'three'"):
        _Asked(name="four")
