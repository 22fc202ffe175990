"""The events file as columns, and that a training run reads it once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from artifacts.shop.schema import Event, Item, ShopSchema
from artifacts.shop.shop import Shop
from artifacts.shop.writer import ShopWriter
from models.dataset.log import ANSWERS, LOW, TRAIN, VAL, read_log
from models.towers import Config
from models.training import train

START = datetime(2026, 1, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def written(path: Path, events: list[Event]) -> Shop:
    with ShopWriter(path, ShopSchema("log")) as writer:
        writer.add_item(Item("a", "title a"))
        for event in events:
            writer.add_event(event)
    return Shop.open(path)


def test_behaviours_and_labels_become_rows(tmp_path: Path) -> None:
    events = [
        Event(day(0), "a", "click", " Red  Mug", "u"),
        Event(day(1), "gone", "order", "red mug", "v", picture=None),
        Event(day(2), "a", "impression", "cup", "u"),
        Event(day(3), "a", "impression", "cup", None, relevance=0.1),
        Event(day(4), "gone", "impression", "cup", None, relevance=0.1),
        Event(day(5), "a", "impression", "cup", None, relevance=0.8),
    ]
    log = read_log(written(tmp_path, events), {"a": 0}, 0.05, low_relevance=0.3)
    assert log["item"].tolist() == [0, -1, 0, 0]
    assert log["user"].tolist() == [0, 1, -1, -1]
    assert log["behaviour"].tolist() == [1, 3, 0, 0]
    assert log["low"].tolist() == [0, 0, LOW, ANSWERS]
    assert [log.queries[row] for row in log["query"]] == ["red mug", "red mug", "cup", "cup"]
    assert log["at"].tolist() == [day(n).timestamp() for n in (0, 1, 3, 5)]
    assert (log.users, log.pictures) == (2, [])


def test_the_newest_behaviours_are_held_out_where_nothing_is_marked(tmp_path: Path) -> None:
    log = read_log(
        written(tmp_path, [Event(day(n), "a", "click", "q", "u") for n in range(10)]), {"a": 0}, 0.05
    )
    assert log["split"].tolist() == [TRAIN] * 9 + [2]
    assert log.trains.tolist() == [True] * 9 + [False]


def test_marks_of_the_file_come_first(tmp_path: Path) -> None:
    splits = (None, "val", None, "test", "train")
    events = [Event(day(n), "a", "click", "q", "u", split=split) for n, split in enumerate(splits)]
    log = read_log(written(tmp_path, events), {"a": 0}, 0.05)
    assert log["split"].tolist() == [TRAIN, VAL, TRAIN, 2, TRAIN]


def test_a_training_run_reads_the_events_once(
    shop_path: Path, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    events = Shop.events

    def counted(shop: Shop) -> Iterator[Event]:
        nonlocal reads
        reads += 1
        return events(shop)

    monkeypatch.setattr(Shop, "events", counted)
    short = {"stage1.steps": 2, "stage2.steps": 2, "validation.every": 1, "image.epochs": 1}
    train(shop_path, tmp_path / "run", config.with_overrides(short))
    assert reads == 1
