"""Preparing a log keeps columns of numbers of it, never its events."""

import random
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

from artifacts.shop.schema import Event, Item, ShopSchema
from artifacts.shop.shop import Shop
from artifacts.shop.writer import ShopWriter
from models.dataset.prepare import prepare
from models.towers import Config

ITEMS, USERS, QUERIES = 40, 50, 60


def peak_of(path: Path, events: int, config: Config) -> int:
    """Bytes at most while a log of so many events is prepared; what it names is the same at any length."""
    draw = random.Random(1)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with ShopWriter(path / "shop", ShopSchema("log")) as writer:
        for number in range(ITEMS):
            writer.add_item(Item(f"item {number}", f"thing number {number}"))
        for number in range(events):
            writer.add_event(
                Event(
                    ts=start + timedelta(seconds=number),
                    item=f"item {draw.randrange(ITEMS)}",
                    action="click",
                    query=f"query number {draw.randrange(QUERIES)}",
                    user=f"user number {draw.randrange(USERS)}",
                )
            )
    shop = Shop.open(path / "shop")
    tracemalloc.start()
    try:
        prepare(shop, path / "data", config, lambda stage, done, total: None)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_preparing_keeps_less_than_100_bytes_an_event(config: Config, tmp_path: Path) -> None:
    short, long = 10_000, 40_000
    # What numpy imports at its first use is not to be counted.
    peak_of(tmp_path / "first", 10, config)
    grown = peak_of(tmp_path / "long", long, config) - peak_of(tmp_path / "short", short, config)
    # One event as an object, with its strings, takes over 500.
    assert grown / (long - short) < 100
