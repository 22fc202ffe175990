"""Writes what the playground shows of a shop; see `artifacts.previews`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from artifacts.previews import ABOUT_ID, COLUMNS, PICTURES
from artifacts.shop.errors import DataError
from artifacts.shop.facets import Facets
from artifacts.shop.schema import Item
from artifacts.shop.shop import Shop
from common.files import replacing

_ROWS_PER_BATCH = 50_000
#: Events at the start of the log that examples are chosen from, so that a long log does not delay a start.
MAX_EVENTS = 200_000
#: A query is shown to strangers only if so many different users have typed it.
LEAST_USERS = 5
MAX_EXAMPLES = 8
_LONGEST_EXAMPLE = 60


def write_previews(
    shop_path: Path,
    target: Path,
    *,
    name: str | None = None,
    examples: Sequence[dict[str, Any]] | None = None,
    personas: Sequence[dict[str, Any]] = (),
) -> None:
    """Write the previews of a shop's items.

    Args:
        shop_path: the shop's folder.
        target: the file.
        name: what the shop is called; None for its own name.
        examples: requests to show as examples; None for the shop's own frequent queries.
        personas: shoppers to choose from.

    Raises:
        DataError: the shop cannot be read.
    """
    shop = Shop.open(shop_path)
    facets = Facets(shop.schema.attributes)
    pictures = (shop.path / shop.schema.pictures).resolve()
    schema = pa.schema([(name, pa.string()) for name in COLUMNS]).with_metadata({PICTURES: str(pictures)})
    with (
        replacing(target) as written,
        pa.OSFile(str(written), "wb") as sink,
        pa.ipc.new_file(sink, schema) as file,
    ):
        rows = (_row(item) for item in _counted(shop, facets))
        while batch := list(islice(rows, _ROWS_PER_BATCH)):
            file.write_batch(_batch(batch, schema))
        about = {
            "name": shop.schema.name if name is None else name,
            "items": facets.items,
            "facets": facets.told(),
            "examples": frequent_queries(shop) if examples is None else list(examples),
            "personas": list(personas),
        }
        file.write_batch(_batch([(ABOUT_ID, None, None, None, orjson.dumps(about).decode())], schema))


def _counted(shop: Shop, facets: Facets) -> Iterator[Item]:
    for item in shop.items():
        facets.add(item)
        yield item


def _batch(rows: Sequence[tuple[str | None, ...]], schema: pa.Schema) -> pa.RecordBatch:
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    return pa.record_batch(columns, schema=schema)


def _row(item: Item) -> tuple[str | None, ...]:
    told = {name: value for name, value in item.attributes.items() if value is not None}
    return item.id, item.title, item.category, item.picture, orjson.dumps(told).decode()


def frequent_queries(shop: Shop) -> list[dict[str, Any]]:
    """The queries that led to a click most often, of those that `LEAST_USERS` different users typed."""
    users: dict[str, set[str]] = defaultdict(set)
    clicks: dict[str, int] = defaultdict(int)
    for query, user in _clicked(shop):
        clicks[query] += 1
        if len(users[query]) < LEAST_USERS:
            users[query].add(user)
    known = [query for query, typed_by in users.items() if len(typed_by) >= LEAST_USERS]
    best = sorted(known, key=lambda query: (-clicks[query], query))[:MAX_EXAMPLES]
    return [{"label": query, "query": query} for query in best]


def _clicked(shop: Shop) -> Iterator[tuple[str, str]]:
    """Query and user of each event that tells of taste, among the first `MAX_EVENTS`; none of a bad log."""
    try:
        for event in islice(shop.events(), MAX_EVENTS):
            query = event.query.strip()
            if event.action != "impression" and event.user and 0 < len(query) <= _LONGEST_EXAMPLE:
                yield query, event.user
    except DataError:
        return  # `mrse check` tells what is wrong with it; a shop can be shown without examples
