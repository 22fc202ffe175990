"""Held-out labels of low relevance: what a model should put below what was clicked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from artifacts.bundle.text import normalise
from artifacts.shop.holdout import Holdout
from artifacts.shop.shop import Shop
from common.arrays import I64


class LowLabels:
    """Items of a split that are labelled as of low relevance for what was asked.

    Items of another category are easy to tell apart, and more than half of the labels are of such: it is the
    near misses, of the category of what was clicked, that say something.

    Args:
        items: item rows by (normalised query, picture).
        categories: int64 ``[N]``, a number for each category.
    """

    def __init__(self, items: Mapping[tuple[str, str | None], I64], categories: I64) -> None:
        self._items, self._categories = items, categories

    @classmethod
    def read(
        cls, shop: Shop, rows: Mapping[str, int], split: str, held_out: float, low_relevance: float
    ) -> LowLabels | None:
        """Of the labels up to ``low_relevance`` of a split; None where there are none.

        Of several labels of one pair the highest counts, as in training.
        """
        labels: dict[tuple[str, str | None], dict[int, float]] = defaultdict(dict)
        holdout = Holdout.from_events(shop.events(), held_out)
        for event in shop.events():
            if event.relevance is None or event.item not in rows or holdout.split(event) != split:
                continue
            found, row = labels[normalise(event.query), event.picture], rows[event.item]
            found[row] = max(event.relevance, found.get(row, 0.0))
        low = {
            asked: np.array(sorted(row for row, label in found.items() if label <= low_relevance), np.int64)
            for asked, found in labels.items()
        }
        low = {asked: found for asked, found in low.items() if len(found)}
        if not low:
            return None
        numbers: dict[str, int] = {}
        categories = np.full(len(rows), -1, dtype=np.int64)
        for item in shop.items():
            if item.id in rows:
                categories[rows[item.id]] = numbers.setdefault(item.category, len(numbers))
        return cls(low, categories)

    def near(self, query: str, picture: str | None, wanted: int) -> I64:
        """The items labelled low for a query that are of the category of the item ``wanted``, sorted rows."""
        found = self._items.get((normalise(query), picture))
        if found is None:
            return np.zeros(0, dtype=np.int64)
        alike: I64 = found[self._categories[found] == self._categories[wanted]]
        return alike
