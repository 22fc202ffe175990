"""Histories of a batch as arrays, and the rule of what is cut from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.arrays import F32, F64, I8, I32, I64, Bool

SECONDS_PER_DAY = 86_400.0
#: Rows of a batch: all of them, or the numbers of some.
Rows = slice | I64


@dataclass(frozen=True)
class Histories:
    """Histories of a batch as the fusion reads them, most recent first.

    ``items`` int64 ``[B, K]``, -1 = empty slot; ``behaviour`` int64 ``[B, K]``; ``age_days`` float32.
    """

    items: I64
    behaviour: I64
    age_days: F32

    @classmethod
    def empty(cls, rows: int, depth: int) -> Histories:
        """Histories ``[rows, depth]`` whose slots are all empty."""
        none = np.zeros((rows, depth), dtype=np.int64)
        return cls(none - 1, none, none.astype(np.float32))

    def fill(self, place: int, items: I32 | I64, behaviour: I8 | I64, age_days: F64 | F32) -> None:
        """Write the history of one row, most recent first."""
        count = len(items)
        self.items[place, :count] = items
        self.behaviour[place, :count] = behaviour
        self.age_days[place, :count] = age_days

    def last_of_each(self) -> Histories:
        """The same with one place for each item, that of the last action on it."""
        result = Histories.empty(*self.items.shape)
        for place, items in enumerate(self.items):
            first = np.sort(np.unique(items, return_index=True)[1])
            kept = first[items[first] >= 0]
            behaviour, age_days = self.behaviour[place, kept], self.age_days[place, kept]
            result.fill(place, items[kept], behaviour, age_days)
        return result

    def newest(self, depth: int) -> Histories:
        """The first ``depth`` places."""
        return Histories(self.items[:, :depth], self.behaviour[:, :depth], self.age_days[:, :depth])

    def part(self, rows: Rows) -> Histories:
        """Some of the rows."""
        return Histories(self.items[rows], self.behaviour[rows], self.age_days[rows])


def same_search(asked: tuple[int, int], query: I32, picture: I32, window: float, ago: F64) -> Bool:
    """Which behaviours came of the same search as an event: ``[n]``.

    The rule of the cut, in training and validation; `models.evaluation.heldout` has the same over events, and
    a test of validation holds the two together. A log has
    a row for each click of a search. When the search was sent, none of them had happened: a service never
    sees them in a history, so they are left out. What the user did in the same visit for other searches
    stays. A browse asks for nothing, and keeps everything.

    Args:
        asked: query and picture of the event as the log numbers them; 0 and -1 = none.
        query, picture: ``[n]``, what was asked when the user did it.
        window: seconds within which the same words are the same search.
        ago: ``[n]``, seconds before the event.
    """
    if asked[0] <= 0 and asked[1] < 0:
        return np.zeros(len(query), dtype=np.bool_)
    result: Bool = (query == asked[0]) & (picture == asked[1]) & (ago <= window)
    return result
