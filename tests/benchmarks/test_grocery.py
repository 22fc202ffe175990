"""The picture benchmark: photos as items of a real bundle, the systems' settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from artifacts.shop.shop import Shop
from benchmarks.grocery import GIVEN, SYSTEMS, configure, photo_embeddings
from models.synthetic import make_shop
from tests.support.bundle import make_bundle


def test_photos_alone_are_items_that_differ_by_their_picture(tmp_path: Path) -> None:
    make_shop(tmp_path / "shop", items=100, seed=3)
    shop = Shop.open(tmp_path / "shop")
    bundle = make_bundle(tmp_path / "bundle", [item.title for item in shop.items()])
    photos = [item.picture for item in shop.items() if item.picture is not None][:3]
    found = photo_embeddings(bundle, shop, [*photos, photos[0]])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-3)
    np.testing.assert_allclose(found[3], found[0], atol=1e-4)
    assert np.abs(found[1] - found[0]).max() > 1e-3


def test_the_systems_differ_in_one_switch_each(tmp_path: Path) -> None:
    whole = configure("whole", 7, quick=False, work=tmp_path)
    for system, change in SYSTEMS.items():
        kept = {"image.cache": str(tmp_path / "features")} if system == GIVEN else {}
        found = configure(system, 7, quick=False, work=tmp_path)
        assert found == whole.with_overrides({**change, **kept})
    assert whole.image.epochs == 36
    assert not configure("no pictures", 7, quick=True, work=tmp_path).switches.picture
