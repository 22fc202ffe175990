"""Rows of raw values to items and events. Every fault of a row is reported, not only its first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, TypeVar

from artifacts.shop import values
from artifacts.shop.errors import Fault
from artifacts.shop.schema import Event, Item, ShopSchema
from artifacts.shop.tables import Column, Layout, Table
from artifacts.shop.values import InvalidValueError

T = TypeVar("T")

#: Stands where an event's time could not be read; the row's faults say so.
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


def item_layout(schema: ShopSchema) -> Layout[Item]:
    """Columns of the items file."""
    own = (
        Column("id", "string", values.identifier, "", required=True),
        Column("title", "string", values.text, ""),
        Column("category", "string", values.category, ""),
        Column("description", "string", values.text, ""),
        Column("picture", "string", values.picture),
    )
    declared = (
        Column(name, kind, values.ATTRIBUTES[kind], declared=True) for name, kind in schema.attributes.items()
    )

    def item(row: Sequence[Any]) -> Item:
        item_id, title, category, description, picture, *attributes = row
        named = dict(zip(schema.attributes, attributes, strict=True))
        return Item(item_id, title, category, description, picture, named)

    return Layout(
        (*own, *declared),
        item,
        # An item with neither cannot be shown to any expert.
        one_of=("title", "picture"),
        empty=("empty-title", "is empty, expected a title (or a picture instead)"),
    )


EVENT_LAYOUT: Layout[Event] = Layout(
    (
        Column("ts", "time", values.timestamp, _NO_TIME, required=True),
        Column("item", "string", values.identifier, "", required=True),
        Column("action", "string", values.action, "", required=True),
        Column("query", "string", values.text, ""),
        Column("user", "string", values.optional_text),
        Column("relevance", "number", values.relevance),
        Column("picture", "string", values.picture),
        Column("split", "string", values.split),
    ),
    lambda row: Event(*row),
    # An event with none of these says nothing about anybody.
    one_of=("query", "picture", "user"),
    empty=("empty-event", "is empty, expected a query, a picture or a user (one at least)"),
)


class Parser(Generic[T]):
    """Rows of a layout to records.

    Args:
        layout: the columns and what becomes of them.
        table: the rows' file, which tells how values are written and on which columns no row is reported.
    """

    def __init__(self, layout: Layout[T], table: Table) -> None:
        self._layout = layout
        self._faulty = table.faulty
        self._columns = [
            (
                partial(column.parse, textual=table.textual)
                if column.kind in ("number", "bool", "list")
                else column.parse,
                column.default,
                column.required,
            )
            for column in layout.columns
        ]
        self._one_of = [
            (place, column.default == "")
            for place, column in enumerate(layout.columns)
            if column.name in layout.one_of and table.faulty.isdisjoint(layout.one_of)
        ]

    def parse(self, line: int, row: Sequence[object], faults: list[Fault]) -> T:
        """The record; an invalid value is appended to ``faults`` and left at its default in the record."""
        record: list[Any] = []
        invalid: set[int] = set()
        for (parse, default, required), raw in zip(self._columns, row, strict=True):
            if raw is None and not required:
                record.append(default)
                continue
            try:
                record.append(parse(raw))
            except InvalidValueError as error:
                invalid.add(place := len(record))
                record.append(default)
                if (name := self._layout.names[place]) not in self._faulty:
                    faults.append(Fault(line, name, error.code, error.message))
        for place, is_text in self._one_of:  # text of spaces alone says nothing
            if place in invalid or (record[place].strip() if is_text else record[place]):
                break
        else:
            if self._one_of:
                faults.append(Fault(line, self._layout.one_of[0], *self._layout.empty))
        return self._layout.record(record)
