"""How relevant items are to a query: by a synthetic shop's judge, or by the labels of a shop's events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from artifacts.bundle.text import normalise
from artifacts.shop.holdout import Holdout
from artifacts.shop.shop import Shop
from common.arrays import F32, I64
from models.synthetic import Judge, UnknownQueryError


class Grades(Protocol):
    """Grades of the whole catalogue for a query."""

    #: Where the grades come from, for the report: ``judge`` or ``labels``.
    source: str

    def catalogue_grades(self, query: str, picture: str | None) -> F32 | None:
        """Float32 ``[N]`` over the catalogue's rows, 0 to 1; None where nothing is known of the query."""


class JudgeGrades:
    """By the ground truth of a synthetic shop; ``ids`` may be a part of what the judge knows."""

    source = "judge"

    def __init__(self, judge: Judge, ids: Sequence[str]) -> None:
        self.judge = judge
        self._ids = ids
        self._rows: I64 = judge.rows(ids)

    def catalogue_grades(self, query: str, picture: str | None) -> F32 | None:
        """See `Grades`."""
        if picture is None and not normalise(query):
            return None
        try:
            return np.asarray(self.judge.all_relevances(query, picture)[self._rows], dtype=np.float32)
        except UnknownQueryError:
            return None

    def groups(self, query: str, picture: str | None) -> frozenset[str]:
        """Names of the groups that a query belongs to, see `Judge.slices`; none where nothing is known."""
        try:
            return self.judge.slices(query, picture)
        except UnknownQueryError:
            return frozenset()

    def liking(self, user: str) -> F32:
        """What a user's taste adds to the logarithm of each item's chance of a click: float32 ``[N]``."""
        try:
            return self.judge.liking(user)[self._rows]
        except KeyError:
            return np.zeros(len(self._rows), dtype=np.float32)

    def suits(self, user: str, query: str, picture: str | None, rows: I64) -> float:
        """Mean grade of some items for one user, whose taste counts; NaN where nothing is known."""
        ids = [self._ids[row] for row in rows if row >= 0]
        try:
            return float(self.judge.taste_relevances(user, query, ids, picture).mean()) if ids else 0.0
        except (KeyError, UnknownQueryError):
            return float("nan")


class LabelGrades:
    """By the labels of the events of one split; an item without a label counts as 0.

    Labels of the train split are those that HNST may have trained on: they judge nothing.
    """

    source = "labels"

    def __init__(self, shop: Shop, rows: dict[str, int], split: str, held_out: float) -> None:
        self._items = len(rows)
        self._labels: dict[tuple[str, str | None], dict[int, float]] = defaultdict(dict)
        holdout = Holdout.from_events(shop.events(), held_out)
        for event in shop.events():
            if event.relevance is None or event.item not in rows:
                continue
            if holdout.split(event) == split:
                labels = self._labels[normalise(event.query), event.picture]
                row = rows[event.item]
                labels[row] = max(event.relevance, labels.get(row, 0.0))

    def __bool__(self) -> bool:
        return bool(self._labels)

    def catalogue_grades(self, query: str, picture: str | None) -> F32 | None:
        """See `Grades`; None where the query has no label, or none above 0."""
        labels = self._labels.get((normalise(query), picture))
        if not labels or max(labels.values()) <= 0:
            return None
        result = np.zeros(self._items, dtype=np.float32)
        result[list(labels)] = list(labels.values())
        return result


def open_grades(shop: Shop, rows: dict[str, int], split: str, held_out: float) -> Grades | None:
    """The judge where the shop is a synthetic one, else the labels of the split that is judged, else None.

    Args:
        shop: the shop.
        rows: by item id.
        split: ``val`` or ``test``.
        held_out: the share that training held out, see `artifacts.shop.holdout`.
    """
    if (shop.path / "truth.parquet").is_file():
        return JudgeGrades(Judge.open(shop.path), list(rows))
    return LabelGrades(shop, rows, split, held_out) or None
