"""Selections: their forms, whether they are even, and their cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from index.embedded.selection import VALUE_ROWS, Selection, Selections, Selector, variation
from index.filters import parse_filter


def test_selections() -> None:
    selector = Selector(np.array([0, 100]))
    assert selector.select(np.ones(100, np.bool_)) == Selection(100)
    assert selector.select(np.zeros(100, np.bool_)).count == 0
    few = selector.select(np.arange(100) < 3)
    assert few.rows is not None
    assert few.rows.tolist() == [0, 1, 2]
    many = selector.select(np.arange(100) < 50)
    assert many.bits is not None
    assert (many.rows, many.count, len(many.bits)) == (None, 50, 13)


def test_filters_are_even_that_have_nothing_to_do_with_the_lists() -> None:
    rng = np.random.default_rng(0)
    starts = np.append(0, np.cumsum(rng.integers(50, 150, size=100)))
    number = np.repeat(np.arange(100), np.diff(starts))
    selector = Selector(starts, exact_rows=0)
    for share in (0.02, 0.1, 0.5, 0.98):
        thinned = rng.random(len(number)) < share
        assert selector.select(thinned).even
        assert not selector.select((number < 50) & thinned).even
    sizes = np.diff(starts).astype(np.float32)
    assert variation(np.where(np.arange(100) < 50, sizes, 0), sizes) == pytest.approx(1, abs=0.1)
    assert variation(sizes / 3, sizes) == 0


def test_matches_of_some_lists() -> None:
    starts = np.array([0, 10, 20, 30, 40])
    mask = np.isin(np.arange(40), [1, 5, 20, 29, 30])
    few = Selector(starts, exact_rows=0).select(mask)
    for lists, rows in (([0, 2], [1, 5, 20, 29]), ([1, 3], [30]), ([1], []), ([], []), ([3, 0], [30, 1, 5])):
        assert few.rows_in(np.array(lists, dtype=np.int64)).tolist() == rows


class _Masks:
    """Attributes that count how often they are asked."""

    rows = 80_000

    def __init__(self) -> None:
        self.asked = 0

    def mask(self, accepted: Any) -> np.ndarray:
        self.asked += 1
        return np.arange(self.rows) % 2 == 0


def test_selections_are_kept_within_a_bound() -> None:
    masks = _Masks()
    kept = Selections(masks, Selector(np.array([0, masks.rows])), limit_bytes=3 * 11_000)  # type: ignore[arg-type]
    filters = [parse_filter({"n": number}, {"n": "number"}) for number in range(4)]
    for number in (0, 0, 1, 2, 0, 3, 0):  # 1 is the least recently used when 3 comes
        assert kept.get(filters[number]).count == masks.rows // 2
    assert masks.asked == 4
    kept.get(filters[1])
    assert masks.asked == 5
    assert kept.get(None) == Selection(masks.rows)


def test_values_that_are_looked_up_count_as_rows() -> None:
    masks = _Masks()
    kept = Selections(masks, Selector(np.array([0, masks.rows])))  # type: ignore[arg-type]
    counted: list[int] = []
    many = parse_filter({"n": {"not": [float(number) for number in range(300)]}}, {"n": "number"})
    kept.get(many, counted.append)
    kept.get(many, counted.append)
    assert counted == [masks.rows + 300 * VALUE_ROWS]
