"""A log of nine events over four items, prepared for training."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from PIL import Image

from artifacts.shop.schema import Event, Item, ShopSchema
from artifacts.shop.shop import Shop
from artifacts.shop.writer import ShopWriter
from common.progress import silent
from models.dataset.prepare import prepare
from models.dataset.training_data import TrainingData
from models.towers import preset

START = datetime(2026, 1, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def small_training_data(folder: Path) -> TrainingData:
    """Four items; user u goes a, b, a again, c; a label says that d does not answer "mug"."""
    return training_data(
        folder,
        [
            Event(day(0), "a", "click", "mug", "u", split="train"),
            Event(day(1), "b", "order", "", "u", split="train"),
            Event(day(1.5), "a", "cart", "mug", "u", split="train"),
            Event(day(3), "c", "click", "cup", "u", split="train"),
            Event(day(3), "d", "impression", "mug", "u", relevance=0.1, split="train"),
            Event(day(3), "a", "impression", "mug", "u", relevance=0.2, split="train"),
            Event(day(4), "d", "impression", "cup", "u", split="train"),
            Event(day(5), "d", "click", "cup", None, split="val"),
            Event(day(6), "b", "click", "mug", None, split="train"),
        ],
    )


def changed(data: TrainingData, overrides: Mapping[str, object]) -> TrainingData:
    """The same data with other knobs."""
    other = TrainingData.__new__(TrainingData)
    other.__dict__.update(data.__dict__, config=data.config.with_overrides(overrides))
    return other


def training_data(folder: Path, events: Sequence[Event]) -> TrainingData:
    """Items a to d, "title a" to "title d", and some events on them."""
    pictures = {event.picture for event in events} - {None}
    with ShopWriter(folder / "shop", ShopSchema("small")) as writer:
        for name in "abcd":
            writer.add_item(Item(name, f"title {name}", "Things"))
        for number, name in enumerate(sorted(filter(None, pictures))):
            path = folder / "shop" / "pictures" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (number * 9, 0, 0)).save(path)
        for event in events:
            writer.add_event(event)
    config = preset("tiny").with_overrides({"dimensions.history": 2})
    prepare(Shop.open(folder / "shop"), folder / "data", config, silent)
    return TrainingData(folder / "data", config)
