"""A shop becomes arrays."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from artifacts.shop.schema import Event, Item, ShopSchema
from artifacts.shop.shop import Shop
from artifacts.shop.writer import ShopWriter
from models.dataset.prepare import prepare
from models.towers import preset

START = datetime(2026, 1, 1, tzinfo=UTC)


def quiet(stage: str, done: int, total: int | None) -> None:
    """Tell nobody."""


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def test_a_shop_without_behaviour_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for events in (0, 3):
        with ShopWriter(tmp_path / f"shop{events}", ShopSchema("small")) as writer:
            writer.add_item(Item("a", "title a", "Things"))
            for number in range(events):
                writer.add_event(Event(day(number), "a", "click", "mug", "u", split="test"))
        shop = Shop.open(tmp_path / f"shop{events}")
        prepare(shop, tmp_path / f"data{events}", preset("tiny"), quiet)
    first, second = caplog.messages
    assert "no events file: looked for events.parquet" in first
    assert "no click, cart or order to train on" in second
    assert all(said.endswith("; training learns nothing from behaviour") for said in (first, second))


def events(count: int, split: str | None = None) -> list[Event]:
    return [Event(day(n), "i", "click", split=split) for n in range(count)]
