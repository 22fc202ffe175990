"""What is written is what is read, in each format."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifacts.actions import ACTIONS
from artifacts.shop.check import check_shop
from artifacts.shop.schema import SPLITS, Event, Item, ShopSchema
from artifacts.shop.shop import Shop
from artifacts.shop.shop_toml import render_shop_toml
from artifacts.shop.writer import ShopWriter
from tests.artifacts.shop.shops import ENDINGS, write_rows

ATTRIBUTES = MappingProxyType(
    {
        "brand": "string",
        "price": "number",
        "in stock": "bool",
        "tags": "list",
    }
)
SCHEMA = ShopSchema('shop "one" \\ \x7f é', ATTRIBUTES)
PARQUET_TYPES = {
    "brand": pa.string(),
    "price": pa.float64(),
    "in stock": pa.bool_(),
    "tags": pa.list_(pa.string()),
    "relevance": pa.float64(),
    "picture": pa.string(),
    "user": pa.string(),
    "split": pa.string(),
    "query": pa.string(),
    "category": pa.string(),
    "description": pa.string(),
    "title": pa.string(),
}

SINCE, UNTIL = (datetime(year, 1, 1) for year in (1990, 2030))  # noqa: DTZ001

# quotes, commas, line ends and every script; no lone surrogates, which no UTF-8 file can hold
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
words = st.text("aé漢 \"',;#", min_size=1, max_size=8).map(lambda text: text.strip()).filter(bool)
ids = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=128)
elements = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="|"), min_size=1, max_size=6)
attributes = st.fixed_dictionaries(
    {
        "brand": texts.map(lambda text: text or None),
        "price": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "in stock": st.none() | st.booleans(),
        # an empty list has no form in CSV that differs from a missing one
        "tags": st.none() | st.lists(elements, min_size=1, max_size=3),
    }
)
items = st.builds(
    Item,
    id=ids,
    title=texts.map(lambda text: "t" + text),
    category=st.lists(words, max_size=3).map(" > ".join),
    description=texts,
    picture=st.none() | st.just("a/b.jpg"),
    attributes=attributes,
)
events = st.builds(
    Event,
    ts=st.datetimes(SINCE, UNTIL, timezones=st.just(UTC)),
    item=ids,
    action=st.sampled_from(ACTIONS.names),
    query=texts,
    user=ids,
    relevance=st.none() | st.floats(0, 1),
    picture=st.none() | st.just("q/ü.png"),
    split=st.none() | st.sampled_from(SPLITS),
)


@pytest.mark.parametrize("ending", ENDINGS)
@settings(max_examples=40, deadline=None)
@given(items=st.lists(items, max_size=20), events=st.lists(events, max_size=20))
def test_files_read_back(ending: str, items: list[Item], events: list[Event]) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        (path / "shop.toml").write_text(render_shop_toml(SCHEMA), encoding="utf-8")
        columns = ("id", "title", "category", "description", "picture")
        rows = [
            {**{column: getattr(item, column) for column in columns}, **item.attributes} for item in items
        ]
        write_rows(path / f"items{ending}", (*columns, *ATTRIBUTES), rows, PARQUET_TYPES)
        columns = ("user", "ts", "query", "item", "action", "relevance", "picture", "split")
        is_parquet = ending == ".parquet"
        rows = [
            {
                **{column: getattr(event, column) for column in columns},
                "ts": event.ts if is_parquet else event.ts.isoformat(),
            }
            for event in events
        ]
        write_rows(
            path / f"events{ending}", columns, rows, {**PARQUET_TYPES, "ts": pa.timestamp("us", tz="UTC")}
        )

        shop = Shop.open(path)

        assert shop.schema == SCHEMA
        assert list(shop.items()) == items
        assert list(shop.events()) == events
        assert (shop.count_items(), sum(1 for _ in shop.events())) == (len(items), len(events))


@settings(max_examples=40, deadline=None)
@given(items=st.lists(items, max_size=20), events=st.lists(events, max_size=20))
def test_writer_reads_back(items: list[Item], events: list[Event]) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "shop"
        with ShopWriter(path, SCHEMA) as writer:
            for item in items:
                writer.add_item(item)
            for event in events:
                writer.add_event(event)
        shop = Shop.open(path)
        assert (shop.schema.name, shop.schema.attributes) == (SCHEMA.name, ATTRIBUTES)
        assert list(shop.items()) == items
        assert list(shop.events()) == events
        assert {file.name for file in path.iterdir()} <= {"shop.toml", "items.parquet", "events.parquet"}


def test_writer_keeps_the_old_shop_when_the_new_one_fails(tmp_path: Path) -> None:
    with ShopWriter(tmp_path, ShopSchema("old")) as writer:
        writer.add_item(Item("i1", "one"))
        writer.add_event(Event(datetime(2024, 1, 1, tzinfo=UTC), "i1", "click", "one"))
    before = Shop.open(tmp_path).fingerprint()

    def fail() -> None:
        with ShopWriter(tmp_path, ShopSchema("new")) as writer:
            writer.add_item(Item("i2", "two"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert Shop.open(tmp_path).fingerprint() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "events.parquet",
        "items.parquet",
        "shop.toml",
    ]
    with ShopWriter(tmp_path, ShopSchema("new")) as writer:
        writer.add_item(Item("i2", "two"))
    shop = Shop.open(tmp_path)
    assert shop.schema.name == "new"
    assert [item.id for item in shop.items()] == ["i2"]
    assert list(shop.events()) == []
    assert shop.fingerprint() != before


def test_writer_refuses_what_would_not_read_back(tmp_path: Path) -> None:
    with ShopWriter(tmp_path, ShopSchema("s")) as writer:
        writer.add_item(Item("i1", "one"))
        with pytest.raises(ValueError, match="colour"):
            writer.add_item(Item("i2", "two", attributes={"colour": "red"}))
        for path in ("../x.jpg", "/x.jpg", ""):
            with pytest.raises(ValueError, match="path"):
                writer.add_picture(path, b"")
    assert [problem.code for problem in check_shop(tmp_path)] == ["no-behaviour"]


def test_many_rows_cross_row_groups_and_batches(tmp_path: Path) -> None:
    rows = 25_000
    with ShopWriter(tmp_path, SCHEMA) as writer:
        for number in range(rows):
            writer.add_item(Item(f"i{number}", f"title {number}", attributes={"price": float(number)}))
            writer.add_event(Event(datetime(2024, 1, 1, tzinfo=UTC), f"i{number}", "click", "q"))
        assert (writer.items, writer.events, writer.pictures) == (rows, rows, 0)
    shop = Shop.open(tmp_path)
    assert [item.attributes["price"] for item in shop.items()] == [float(number) for number in range(rows)]
    assert sum(1 for _ in shop.events()) == rows
    seen: list[tuple[int, int | None]] = []
    assert list(check_shop(tmp_path, lambda done, total: seen.append((done, total)))) == []
    assert seen[-1] == (2 * rows, 2 * rows)
