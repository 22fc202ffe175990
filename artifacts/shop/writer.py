"""`ShopWriter`: writes a shop's folder as Parquet, in bounded memory, whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from artifacts.parquet import ARROW_TYPES, RowWriter
from artifacts.shop import values
from artifacts.shop.errors import DataError
from artifacts.shop.schema import ITEM_COLUMNS, Event, Item, ShopSchema
from artifacts.shop.shop_toml import FILE_NAME, render_shop_toml
from common.files import OutsideError, inside, replace_text

ITEMS_NAME, EVENTS_NAME = "items.parquet", "events.parquet"
#: Rows of one row group, the most that is held in memory.
ITEM_GROUP_ROWS = 10_000
EVENT_GROUP_ROWS = 100_000

_EVENT_SCHEMA = pa.schema(
    {
        "ts": pa.timestamp("us", tz="UTC"),
        "user": pa.string(),
        "query": pa.string(),
        "item": pa.string(),
        "action": pa.string(),
        "relevance": pa.float64(),
        "picture": pa.string(),
        "split": pa.string(),
    }
)


class ShopWriter:
    """Writes ``shop.toml``, ``items.parquet``, ``events.parquet`` and pictures; use it as a context manager.

    The files get their names when the block ends without an exception: ``shop.toml`` last, and an older one
    goes first, so that the folder is at any time a whole shop or none. A shop that was there is replaced;
    pictures that no longer belong to it stay. Without an event there is no events file. Of the schema, name,
    attributes and pictures folder count; the names of the files are the writer's.
    """

    def __init__(self, path: Path, schema: ShopSchema) -> None:
        self._path = path
        self._schema = schema
        self._pictures = path / schema.pictures
        path.mkdir(parents=True, exist_ok=True)
        fields = [(name, pa.string()) for name in ITEM_COLUMNS]
        fields += [(name, ARROW_TYPES[kind]) for name, kind in schema.attributes.items()]
        self._items_part, self._events_part = (path / f"{name}.tmp" for name in (ITEMS_NAME, EVENTS_NAME))
        self._items = RowWriter(self._items_part, pa.schema(fields), ITEM_GROUP_ROWS)
        self._events = RowWriter(self._events_part, _EVENT_SCHEMA, EVENT_GROUP_ROWS)
        #: Pictures added so far.
        self.pictures = 0

    @property
    def items(self) -> int:
        """Items added so far."""
        return self._items.rows

    @property
    def events(self) -> int:
        """Events added so far."""
        return self._events.rows

    def add_item(self, item: Item) -> None:
        """Add one item; raises ValueError where it has an attribute that the schema does not declare."""
        extra = item.attributes.keys() - self._schema.attributes.keys()
        if extra:
            raise ValueError(
                f"item {item.id!r} has attributes that are not declared: {', '.join(sorted(extra))}"
            )
        attributes = (item.attributes.get(name) for name in self._schema.attributes)
        self._items.add((item.id, item.title, item.category, item.description, item.picture, *attributes))

    def add_event(self, event: Event) -> None:
        """Add one event."""
        self._events.add(getattr(event, name) for name in _EVENT_SCHEMA.names)

    def add_picture(self, relative: str, data: bytes) -> None:
        """Write one picture file at once: a path below the pictures folder, and the bytes as they are.

        Raises:
            DataError: the path leaves the folder.
        """
        try:
            if values.picture(relative) is None:
                raise ValueError("a picture needs a path")
            target = inside(self._pictures, relative)
        except values.InvalidValueError as fault:
            raise DataError(self._pictures, f"picture {fault.message}", fault.code) from None
        except OutsideError as error:
            message = f"picture {values.shown(relative)} {error}"
            raise DataError(self._pictures, message, "picture-path") from None
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        self.pictures += 1

    def _close(self) -> None:
        """Write what is left and give the files their names."""
        self._items.close()
        self._events.close()
        description = self._path / FILE_NAME
        description.unlink(missing_ok=True)
        self._items_part.replace(self._path / ITEMS_NAME)
        if self.events:
            self._events_part.replace(self._path / EVENTS_NAME)
        else:
            self._events_part.unlink()
            (self._path / EVENTS_NAME).unlink(missing_ok=True)
        files = replace(self._schema, items=ITEMS_NAME, events=EVENTS_NAME if self.events else None)
        replace_text(description, render_shop_toml(files))

    def __enter__(self) -> ShopWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._close()
            return
        self._items.close(whole=False)
        self._events.close(whole=False)
        self._items_part.unlink()
        self._events_part.unlink()
