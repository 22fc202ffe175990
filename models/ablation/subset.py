"""A part of a shop's catalogue as a shop of its own, for growth curves."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from artifacts.shop.shop import Shop
from artifacts.shop.writer import ShopWriter

#: Ground truth of a synthetic shop; the judge knows the whole catalogue by id, so it serves for a part too.
_TRUTH = ("truth.parquet", "users.parquet", "queries.parquet", "synthetic.json")


def subset(source: Path, target: Path, part: float) -> None:
    """Write a shop with a share of the items, 0 to 1, and the events on them; nothing where it is done.

    A smaller part is contained in a larger one.

    Raises:
        DataError: the shop cannot be read.
    """
    if (target / "shop.toml").is_file():
        return
    shop = Shop.open(source)
    chance = np.random.default_rng(0).random(shop.count_items())
    kept: set[str] = set()
    pictures: dict[str, None] = {}
    target.mkdir(parents=True, exist_ok=True)
    for name in _TRUTH:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    with ShopWriter(target, shop.schema) as writer:
        for item, drawn in zip(shop.items(), chance, strict=True):
            if drawn < part:
                writer.add_item(item)
                kept.add(item.id)
                if item.picture is not None:
                    pictures[item.picture] = None
        for event in shop.events():
            if event.item in kept:
                writer.add_event(event)
                if event.picture is not None:
                    pictures[event.picture] = None
        for relative in pictures:
            writer.add_picture(relative, shop.picture(relative))
