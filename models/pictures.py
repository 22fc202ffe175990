"""Features of a shop's pictures, from a bundle's image encoder."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from artifacts.bundle.towers import ItemTower, QueryTower
from artifacts.shop.shop import Shop
from common.arrays import F32
from common.lru import Lru

_AT_ONCE = 64
#: Features that are kept, so that a file that many rows name is seldom encoded twice.
_KEPT = 100_000


class PictureFeatures:
    """Reads, decodes and encodes picture files.

    Args:
        shop: whose pictures they are.
        tower: either tower of the bundle; both have the image encoder.
        threads: that decode.
    """

    def __init__(self, shop: Shop, tower: QueryTower | ItemTower, threads: int) -> None:
        self._shop = shop
        self._tower = tower
        self._side = tower.bundle.manifest.picture.side
        self._threads = threads
        self._kept: Lru[str, F32] = Lru(_KEPT)

    def features(self, pictures: Sequence[str | None]) -> list[F32 | None]:
        """The feature float32 ``[P]`` of each picture, None where there is none.

        Args:
            pictures: paths below the shop's pictures folder.

        Raises:
            DataError: a file is missing or no picture.
        """
        found: dict[str | None, F32 | None] = {name: self._kept.get(name) for name in pictures if name}
        new = [name for name, feature in found.items() if name and feature is None]
        with ThreadPoolExecutor(self._threads, thread_name_prefix="pictures") as pool:
            for part in (new[start : start + _AT_ONCE] for start in range(0, len(new), _AT_ONCE)):
                pixels = np.stack(list(pool.map(lambda name: self._shop.pixels(name, self._side), part)))
                for name, feature in zip(part, self._tower.picture_features(pixels), strict=True):
                    found[name] = feature
                    self._kept.put(name, feature)
        return [found.get(name) for name in pictures]
