from __future__ import annotations

from pathlib import Path

import numpy as np

from artifacts.bundle import ItemTower
from artifacts.shop.schema import Item, ShopSchema
from artifacts.shop.shop import Shop
from artifacts.shop.writer import ShopWriter
from models.pictures import PictureFeatures
from tests.support import shop as small


def test_each_picture_has_its_feature_and_none_has_none(tmp_path: Path) -> None:
    with ShopWriter(tmp_path / "s", ShopSchema("s")) as writer:
        for colour in ("red", "blue"):
            writer.add_picture(f"{colour}.png", small.picture(colour))
            writer.add_item(Item(colour, colour, picture=f"{colour}.png"))
    shop, tower = Shop.open(tmp_path / "s"), ItemTower(small.bundle(tmp_path / "b"))
    pictures = PictureFeatures(shop, tower, threads=2)
    red, none, blue, again = pictures.features(["red.png", None, "blue.png", "red.png"])
    assert none is None
    side = tower.bundle.manifest.picture.side
    pixels = np.stack([shop.pixels(f"{colour}.png", side) for colour in ("red", "blue")])
    np.testing.assert_array_equal([red, blue], tower.picture_features(pixels))
    np.testing.assert_array_equal(red, again)
    # A file that is kept is not read again.
    (shop.path / "pictures" / "red.png").unlink()
    np.testing.assert_array_equal(pictures.features(["red.png"])[0], red)
