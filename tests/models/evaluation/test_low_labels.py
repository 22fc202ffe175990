"""Held-out labels of low relevance, and what counts as near."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from artifacts.shop.schema import Event, Item, ShopSchema
from artifacts.shop.shop import Shop
from artifacts.shop.writer import ShopWriter
from models.evaluation.heldout import HeldOut
from models.evaluation.low_labels import LowLabels
from tests.models.evaluation.requests import ROWS, request


def written(folder: Path, labels: list[tuple[str, str, float, str]]) -> Shop:
    with ShopWriter(folder, ShopSchema("labels")) as writer:
        for name in "abcd":
            writer.add_item(Item(name, f"title {name}", "Cups" if name in "abc" else "Shoes"))
        start = datetime(2026, 1, 1, tzinfo=UTC)
        for day, (query, item, label, split) in enumerate(labels):
            at = start + timedelta(days=day)
            writer.add_event(Event(at, item, "impression", query, "u", relevance=label, split=split))
    return Shop.open(folder)


def test_labels_of_the_split_and_of_the_category_count(tmp_path: Path) -> None:
    shop = written(
        tmp_path,
        [
            ("Mug", "b", 0.1, "val"),
            ("mug", "d", 0.0, "val"),
            ("mug", "c", 0.2, "val"),
            ("mug", "c", 0.9, "val"),
            ("cup", "b", 0.1, "train"),
        ],
    )
    low = LowLabels.read(shop, ROWS, "val", 0.1, 0.45)
    assert low is not None
    # d is of another category, and c has a higher label too; labels of train are those that HNST learned.
    assert low.near(" MUG", None, ROWS["a"]).tolist() == [ROWS["b"]]
    assert low.near("mug", None, ROWS["d"]).tolist() == [ROWS["d"]]
    assert low.near("cup", None, ROWS["a"]).tolist() == []
    assert low.near("mug", "p.png", ROWS["a"]).tolist() == []
    assert LowLabels.read(shop, ROWS, "val", 0.1, -1.0) is None
    held_out = HeldOut.number([request("mug", "a"), request("mug", "b")], ROWS, None, low)
    # What was clicked for the query in the split is right, whatever its label.
    assert held_out.low_labels(0).tolist() == held_out.low_labels(1).tolist() == []
    alone = HeldOut.number([request("mug", "a"), request("", "a", "u", "browse")], ROWS, None, low)
    assert alone.low_labels(0).tolist() == [ROWS["b"]]
    assert alone.low_labels(1).tolist() == np.zeros(0).tolist()
