"""Bodies of the calls that put items by content and take them out."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, model_validator
from pydantic_core import PydanticCustomError

from artifacts.attributes import MAX_CHARACTERS, category_path
from service.http.cost import MAX_ITEMS
from service.http.schemas import MAX_PICTURE_TEXT, ItemId

#: Characters of a title, and of a description; of each the first 2,048 are read by the model.
MAX_TITLE, MAX_DESCRIPTION = 2048, 16_384
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _named_well(item_id: str) -> str:
    if item_id != item_id.strip() or _CONTROL.search(item_id):
        raise PydanticCustomError("id", "Input should have no control characters and no space at either end")
    return item_id


def _category(path: str) -> str:
    try:
        return category_path(path)
    except ValueError as error:
        raise PydanticCustomError("category", "Input {reason}", {"reason": str(error)}) from error


#: As a shop's items file has it.
NewId = Annotated[ItemId, AfterValidator(_named_well)]


class Body(BaseModel):
    """No field beside those it has, each of its very type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ItemRow(Body):
    """An item as its shop tells it."""

    title: str = Field(default="", max_length=MAX_TITLE, description="May be empty with a picture.")
    category: Annotated[str, Field(max_length=MAX_CHARACTERS), AfterValidator(_category)] = Field(
        default="", description="Path from wide to narrow, as in `Shoes > Running`; no empty level."
    )
    description: str = Field(default="", max_length=MAX_DESCRIPTION)
    picture: str | None = Field(
        default=None, min_length=1, max_length=MAX_PICTURE_TEXT, description="A JPEG or PNG in base64."
    )
    attributes: dict[str, Any] = Field(
        default_factory=dict, description="Those of the index; null or an empty string is a missing value."
    )

    @model_validator(mode="after")
    def _something(self) -> ItemRow:
        if not self.title.strip() and self.picture is None:
            raise PydanticCustomError("nothing", "Input should have a title or a picture")
        return self


class NewItem(ItemRow):
    """An item and its id."""

    id: NewId


class NewItems(Body):
    """Items to add, or to replace whole."""

    items: list[NewItem] = Field(min_length=1, max_length=MAX_ITEMS)


class ItemsEnvelope(Body):
    """Items that are parsed one by one."""

    items: list[Any] = Field(min_length=1, max_length=MAX_ITEMS)


class GoneItems(Body):
    """Items to take out."""

    ids: Annotated[list[ItemId], FailFast()] = Field(min_length=1, max_length=MAX_ITEMS)


class NamedItem(Body):
    """The item that a path names."""

    item_id: NewId
