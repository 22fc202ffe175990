"""Bands of what is told of items in numbers, such as prices: the cheaper, the middle and the dearer third.

*Inferred*. They are thirds of an item's own category, for what is dear in mugs is cheap in lamps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from artifacts.shop.schema import AttributeValue
from common.arrays import F32, I8

BANDS = 3
#: Attributes that are looked at, at most; the first ones of the shop's schema.
MOST = 4


class Numbers:
    """Collects numbers of items in catalogue order, then tells their bands."""

    def __init__(self, attributes: Mapping[str, str]) -> None:
        self.names = [name for name, kind in attributes.items() if kind == "number"][:MOST]
        self._rows: list[list[float]] = []
        self._categories: dict[str, list[int]] = defaultdict(list)

    def add(self, category: str, values: Mapping[str, AttributeValue]) -> None:
        """The next item."""
        self._categories[category].append(len(self._rows))
        given = (values.get(name) for name in self.names)
        self._rows.append([float(v) if isinstance(v, int | float) else float("nan") for v in given])

    def bands(self) -> I8:
        """``[N, attributes]``: 0 to 2, and -1 where an item has no number."""
        numbers: F32 = np.array(self._rows, dtype=np.float32).reshape(len(self._rows), len(self.names))
        result = np.full(numbers.shape, -1, dtype=np.int8)
        for rows in self._categories.values():
            for column, values in enumerate(numbers[rows].T):
                known = np.flatnonzero(~np.isnan(values))
                if len(known):
                    edges = np.quantile(values[known], np.arange(1, BANDS) / BANDS)
                    found = (values[known, None] > edges).sum(axis=1)
                    result[np.array(rows)[known], column] = found
        return result
