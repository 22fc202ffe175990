"""Which events are held out."""

from datetime import UTC, datetime, timedelta

import pytest

from artifacts.shop.holdout import Holdout
from artifacts.shop.schema import Event

START = datetime(2026, 1, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def events(count: int, split: str | None = None) -> list[Event]:
    return [Event(day(n), "i", "click", split=split) for n in range(count)]


def test_the_newest_are_held_out_where_nothing_is_marked() -> None:
    rows = events(100)
    holdout = Holdout.from_events(rows, 0.1)
    splits = [holdout.split(event) for event in rows]
    assert splits.count("val") == pytest.approx(10, abs=1)
    assert splits.count("test") == pytest.approx(10, abs=1)
    assert splits == sorted(splits, key=["train", "val", "test"].index)


def test_marks_of_the_file_come_first() -> None:
    rows = [*events(5), *events(2, "test")]
    holdout = Holdout.from_events(rows, 0.5)
    assert [holdout.split(event) for event in rows] == ["train"] * 5 + ["test"] * 2


def test_a_shop_without_events_holds_nothing_out() -> None:
    assert Holdout.from_events([]).split(Event(day(0), "i", "click")) == "train"
