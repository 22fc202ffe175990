"""What a catalogue can be narrowed by, counted in one pass and in bounded memory.

A facet is a dictionary, as the playground gets it::

    {"attribute": "category", "kind": "tree", "values": [{"value": "Shoes", "label": "Shoes", "count": 9,
                                                          "below": [{"value": "Shoes > Boots", ...}]}]}
    {"attribute": "brand", "kind": "choice", "values": [{"value": "acme", "label": "Acme", "count": 3}]}
    {"attribute": "price", "kind": "range", "low": 3.5, "high": 180.0, "bins": [4, 9, 2]}
    {"attribute": "in_stock", "kind": "switch", "count": 31}

Strings and lists with a value of its own for nearly every item, such as model numbers, are no facet.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

from artifacts.attributes import CATEGORY, AttributeKind
from artifacts.shop.schema import Item

#: Values of an attribute that are counted; later ones that are new are passed over.
MAX_COUNTED = 10_000
#: Values of a facet that are told, by count.
MAX_SHOWN = 40
#: Numbers of an attribute that its range is estimated from.
SAMPLE = 10_000
BINS = 24
#: Share of the numbers that a range leaves out above, so that one dear item does not squeeze the others.
_TOP = 0.01
_SEPARATOR = " > "
_LONGEST = 80


class Facets:
    """Counts items as they pass.

    Args:
        attributes: as the shop declares them.
    """

    def __init__(self, attributes: Mapping[str, AttributeKind]) -> None:
        self._attributes = attributes
        self._counts: dict[str, Counter[str]] = {
            name: Counter() for name, kind in attributes.items() if kind in ("string", "list")
        }
        self._numbers = {name: _Sample() for name, kind in attributes.items() if kind == "number"}
        self._true = {name: Counter[bool]() for name, kind in attributes.items() if kind == "bool"}
        self._categories: Counter[str] = Counter()
        self.items = 0

    def add(self, item: Item) -> None:
        """Count one item."""
        self.items += 1
        if item.category:
            levels = item.category.split(_SEPARATOR)
            for depth in (1, 2):
                if len(levels) >= depth:
                    _count(self._categories, _SEPARATOR.join(levels[:depth]))
        for name, value in item.attributes.items():
            if value is None:
                continue
            if isinstance(value, bool):
                self._true[name][value] += 1
            elif isinstance(value, list):
                for each in dict.fromkeys(value):
                    _count(self._counts[name], each)
            elif isinstance(value, str):
                _count(self._counts[name], value)
            else:
                self._numbers[name].add(float(value))

    def told(self) -> list[dict[str, Any]]:
        """The facets: categories, then attributes in the order in which they are declared."""
        facets = [self._tree(), *(self._facet(name) for name in self._attributes)]
        return [facet for facet in facets if facet is not None]

    def _facet(self, name: str) -> dict[str, Any] | None:
        if name in self._numbers:
            return self._numbers[name].told(name)
        if name in self._true:
            both = len(self._true[name]) == 2
            return {"attribute": name, "kind": "switch", "count": self._true[name][True]} if both else None
        counts = self._counts[name]
        shown = [(value, count) for value, count in counts.most_common(MAX_SHOWN) if len(value) <= _LONGEST]
        if len(shown) < 2 or sum(counts.values()) < 2 * len(counts):
            return None
        values = [{"value": value, "label": value, "count": count} for value, count in shown]
        return {"attribute": name, "kind": "choice", "values": values}

    def _tree(self) -> dict[str, Any] | None:
        tops = [path for path, _ in self._categories.most_common() if _SEPARATOR not in path][:MAX_SHOWN]
        if len(tops) < 2:
            return None
        values = []
        for top in tops:
            start = top + _SEPARATOR
            below = [path for path, _ in self._categories.most_common() if path.startswith(start)]
            values.append(self._level(top) | {"below": [self._level(path) for path in below[:MAX_SHOWN]]})
        return {"attribute": CATEGORY, "kind": "tree", "values": values}

    def _level(self, path: str) -> dict[str, Any]:
        return {"value": path, "label": path.split(_SEPARATOR)[-1], "count": self._categories[path]}


class _Sample:
    """A reservoir of numbers: each that passed is in it with the same chance."""

    def __init__(self) -> None:
        self._values: list[float] = []
        self._seen = 0
        self._random = random.Random(0)  # the same catalogue gives the same facets

    def add(self, value: float) -> None:
        self._seen += 1
        if len(self._values) < SAMPLE:
            self._values.append(value)
        elif (place := self._random.randrange(self._seen)) < SAMPLE:
            self._values[place] = value

    def told(self, name: str) -> dict[str, Any] | None:
        values = sorted(self._values)
        if not values or values[0] == (high := values[int((len(values) - 1) * (1 - _TOP))]):
            return None
        low, bins = values[0], [0] * BINS
        for value in values:
            bins[min(BINS - 1, int((value - low) / (high - low) * BINS))] += 1
        return {"attribute": name, "kind": "range", "low": low, "high": high, "bins": bins}


def _count(counts: Counter[str], value: str) -> None:
    if value in counts or len(counts) < MAX_COUNTED:
        counts[value] += 1
