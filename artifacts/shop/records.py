"""Rows to items and events, telling every fault of a row and not just its first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from artifacts.shop import values
from artifacts.shop.errors import Fault
from artifacts.shop.schema import Event, Item, ShopSchema
from artifacts.shop.tables import Column, Layout
from artifacts.shop.values import InvalidValueError

T = TypeVar("T")

#: An item with neither cannot be shown to any expert.
ITEM_NEEDS_ONE_OF = ("title", "picture")
#: An event with none of these says nothing about anybody.
EVENT_NEEDS_ONE_OF = ("query", "picture", "user")

#: Stands where an event's time could not be read; the row's faults say so.
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


def item_layout(schema: ShopSchema) -> Layout:
    """Columns of the items file, in the order in which `ItemParser` takes their values."""
    own = (
        Column("id", "string", required=True),
        Column("title", "string"),
        Column("category", "string"),
        Column("description", "string"),
        Column("picture", "string"),
    )
    declared = (Column(name, kind, declared=True) for name, kind in schema.attributes.items())
    return Layout((*own, *declared), one_of=ITEM_NEEDS_ONE_OF)


EVENT_LAYOUT = Layout(
    (
        Column("ts", "time", required=True),
        Column("item", "string", required=True),
        Column("action", "string", required=True),
        Column("query", "string"),
        Column("user", "string"),
        Column("relevance", "number"),
        Column("picture", "string"),
        Column("split", "string"),
    ),
    one_of=EVENT_NEEDS_ONE_OF,
)


class _Parser:
    """What both parsers share: one value, its fault, and what was already reported for the whole file."""

    def __init__(self, one_of: tuple[str, ...], faulty: frozenset[str]) -> None:
        self._faulty = faulty
        self._one_of_known = faulty.isdisjoint(one_of)

    def _read(
        self,
        parse: Callable[[object], T],
        raw: object,
        column: str,
        default: T,
        line: int,
        faults: list[Fault],
    ) -> T:
        try:
            return parse(raw)
        except InvalidValueError as fault:
            if column not in self._faulty:
                faults.append(Fault(line, column, fault.code, fault.message))
            return default


class ItemParser(_Parser):
    """Rows of the items file to `Item`.

    Args:
        schema: declares the attributes.
        textual: the file holds text only (CSV), so that numbers and lists are written out.
        faulty: columns already reported for the whole file, on which no row is reported again.
    """

    def __init__(self, schema: ShopSchema, *, textual: bool, faulty: frozenset[str] = frozenset()) -> None:
        super().__init__(ITEM_NEEDS_ONE_OF, faulty)
        self._attributes = tuple(
            (name, partial(values.attribute, kind=kind, textual=textual))
            for name, kind in schema.attributes.items()
        )

    def parse(self, line: int, row: Sequence[object], faults: list[Fault]) -> Item:
        """The item; an invalid value is appended to ``faults`` and left at its default in the item."""
        read = self._read
        item_id = read(values.identifier, row[0], "id", "", line, faults)
        healthy = len(faults)
        title = read(values.text, row[1], "title", "", line, faults)
        picture = read(values.picture, row[4], "picture", None, line, faults)
        if picture is None and not title.strip() and len(faults) == healthy and self._one_of_known:
            faults.append(
                Fault(line, "title", "empty-title", "is empty, expected a title (or a picture instead)")
            )
        return Item(
            id=item_id,
            title=title,
            category=read(values.category, row[2], "category", "", line, faults),
            description=read(values.text, row[3], "description", "", line, faults),
            picture=picture,
            attributes={
                name: read(parse, raw, name, None, line, faults)
                for (name, parse), raw in zip(self._attributes, row[5:], strict=True)
            },
        )


class EventParser(_Parser):
    """Rows of the events file to `Event`; arguments as of `ItemParser`."""

    def __init__(self, *, textual: bool, faulty: frozenset[str] = frozenset()) -> None:
        super().__init__(EVENT_NEEDS_ONE_OF, faulty)
        self._relevance = partial(values.relevance, textual=textual)

    def parse(self, line: int, row: Sequence[object], faults: list[Fault]) -> Event:
        """The event; an invalid value is appended to ``faults`` and left at its default in the event."""
        read = self._read
        raw_ts, raw_item, raw_action, raw_query, raw_user, raw_relevance, raw_picture, raw_split = row
        ts = read(values.timestamp, raw_ts, "ts", _NO_TIME, line, faults)
        item = read(values.identifier, raw_item, "item", "", line, faults)
        action = read(values.action, raw_action, "action", "", line, faults)
        healthy = len(faults)
        query = read(values.text, raw_query, "query", "", line, faults)
        user = read(values.optional_text, raw_user, "user", None, line, faults)
        picture = (
            None if raw_picture is None else read(values.picture, raw_picture, "picture", None, line, faults)
        )
        if (
            user is None
            and picture is None
            and not query.strip()
            and len(faults) == healthy
            and self._one_of_known
        ):
            faults.append(
                Fault(
                    line,
                    "query",
                    "empty-event",
                    "is empty, expected a query, a picture or a user (one at least)",
                )
            )
        return Event(
            ts,
            item,
            action,
            query,
            user,
            None
            if raw_relevance is None
            else read(self._relevance, raw_relevance, "relevance", None, line, faults),
            picture,
            None if raw_split is None else read(values.split, raw_split, "split", None, line, faults),
        )
