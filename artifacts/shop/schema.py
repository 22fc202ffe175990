"""What a shop's files hold.

A shop is a folder with ``shop.toml``, an items file, usually an events file, and often pictures::

    name = "acme"
    [files]                      # all optional; these are the defaults, found by trying each ending
    items = "items.parquet"      # .parquet, .csv, .jsonl; the last two also with .gz
    events = "events.parquet"
    pictures = "pictures"        # the folder that `picture` columns are relative to
    [attributes]                 # filterable columns of the items file: string, number, bool, list
    price = "number"
    in_stock = "bool"
    [texts]                      # what items are found by word for word, beside title and category
    columns = ["description"]    # the default; attributes of the types string and list may be named too
    language = "english"         # the default; the language of the stems, "none" for several languages
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from artifacts.attributes import AttributeKind
from artifacts.words import DEFAULT_LANGUAGE

#: What an attribute's value may be; a list is of strings.
AttributeValue = str | float | bool | list[str] | None

MAX_ID_CHARACTERS = 128
SPLITS: tuple[str, ...] = ("train", "val", "test")
#: Columns of the items file that are no attributes.
ITEM_COLUMNS: tuple[str, ...] = ("id", "title", "category", "description", "picture")
#: Columns whose words every item is found by.
TEXT_COLUMNS: tuple[str, ...] = ("title", "category")


@dataclass(frozen=True)
class ShopSchema:
    """The content of ``shop.toml``; ``items`` and ``events`` are None where they are to be found."""

    name: str
    attributes: Mapping[str, AttributeKind] = field(default_factory=lambda: MappingProxyType({}))
    items: str | None = None
    events: str | None = None
    pictures: str = "pictures"
    #: Columns whose words items are found by, behind `TEXT_COLUMNS`, and the language of their stems.
    texts: tuple[str, ...] = ("description",)
    language: str = DEFAULT_LANGUAGE

    @property
    def text_fields(self) -> tuple[str, ...]:
        """All columns whose words items are found by."""
        return (*TEXT_COLUMNS, *self.texts)


@dataclass(frozen=True, slots=True)
class Item:
    """One row of the items file; ``picture`` is a path below the pictures folder."""

    id: str
    title: str
    category: str = ""
    description: str = ""
    picture: str | None = None
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """What one of `ShopSchema.text_fields` says of the item; of a list its strings in a row."""
        if name in ("title", "category", "description"):
            return str(getattr(self, name))
        value = self.attributes.get(name)
        return " ".join(value) if isinstance(value, list) else str(value or "")


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the events file.

    ``ts`` is UTC; ``relevance`` a label from 0 to 1 where somebody judged the pair; ``picture`` a
    picture that the user searched with (the query may then be empty); ``split`` one of `SPLITS` where
    the file says which rows are held out (without it the newest events are).
    """

    ts: datetime
    item: str
    action: str
    query: str = ""
    user: str | None = None
    relevance: float | None = None
    picture: str | None = None
    split: str | None = None
