"""BM25 over the items of a base: what a word in an item is worth, and the best items for some words.

The form is that of Vespa's ``bm25``: ``idf · count · (k1 + 1) / (count + k1 · (1 - b + b · length / mean))``
with ``idf = ln(1 + (items - found + 0.5) / (found + 0.5))``. A base keeps each word's scores ready
(`index.embedded.words`), so that a search adds up numbers. The statistics are those of the base until it is
rebuilt: a change to one item changes no other item's score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from common.arrays import F32, I32, I64, Floats
from index.embedded.workers import Step, unhindered

#: The usual constants, also Vespa's: how soon a repeated word adds no more, and how much long items lose.
K1, B = 1.2, 0.75
#: One list is looked up in another, by halves, where it is so much shorter; else both are walked. Measured.
_MUCH_SHORTER = 16
#: Room for rounding, where a sum of float32 is compared with a sum of bounds.
_ROUNDING = 1 + 1e-5


@dataclass(frozen=True, slots=True)
class Statistics:
    """What BM25 knows of all items: how many there are, and how many words one has on average."""

    items: int
    mean_length: float

    def idf(self, found: I64) -> Floats:
        """How rare words are that so many items have: float64 ``[words]``."""
        return np.log1p((self.items - found + 0.5) / (found + 0.5))

    def weight(self, counts: I64, lengths: I64) -> Floats:
        """What words are worth that stand so often in items of so many words, without their rarity."""
        return (K1 + 1) * counts / (counts + K1 * (1 - B + B * lengths / (self.mean_length or 1.0)))


class Posting(NamedTuple):
    """The items that have a word: int32 ``rows`` in order, their ``scores`` float32, the largest one."""

    rows: I32
    scores: F32
    top: float


#: Which places of a list of rows may be found; None where all may.
Accept = Callable[[I32], I64]


def best_rows(
    postings: Sequence[Posting],
    k: int,
    accept: Accept | None,
    sums: F32,
    step: Step = unhindered,
) -> tuple[I64, F32]:
    """The ``k`` rows with the largest sums of scores, best first and equal ones by row; exact.

    The words are taken from the weightiest to the lightest. Once the words that are left add up to less than
    the ``k``-th best has already, no new row can be among the best: the rest is only added to rows that can.

    Args:
        postings: of the words that were asked for.
        k: rows wanted.
        accept: which rows may be found.
        sums: float32 ``[rows]``, zeros; zeros again when this returns or raises.
        step: called with the rows before each word.
    """
    ordered = sorted(postings, key=lambda posting: -posting.top)
    left = np.cumsum([posting.top for posting in ordered][::-1])[::-1] * _ROUNDING
    sizes = [len(posting.rows) for posting in ordered]
    touched: list[I32] = []
    found = np.empty(0, dtype=np.int32)
    floor = 0.0
    try:
        for place, posting in enumerate(ordered):
            step(len(posting.rows))
            if left[place] >= floor:
                fresh = _add(posting, accept, sums, first=not touched)
                touched.append(fresh)
                found = fresh if len(touched) == 1 else np.concatenate([found, fresh])
            else:
                found = found[sums[found] + left[place] >= floor]
                _add_to(posting, found, sums)
            # To look for the k-th best costs what some thousand rows do.
            if len(found) > k and sum(sizes[place + 1 :]) > len(found):
                floor = float(np.partition(sums[found], len(found) - k)[len(found) - k])
        return _largest(found, sums[found], k)
    finally:
        for rows in touched:
            sums[rows] = 0


def _add(posting: Posting, accept: Accept | None, sums: F32, *, first: bool) -> I32:
    """Add a word's scores to the sums; the rows that had none before."""
    rows, scores = posting.rows, posting.scores
    if accept is not None:
        places = accept(rows)
        rows, scores = rows[places], scores[places]
    if first:
        sums[rows] = scores
        return rows
    before = sums[rows]
    sums[rows] = before + scores
    fresh: I32 = rows[before == 0]
    return fresh


def _add_to(posting: Posting, found: I32, sums: F32) -> None:
    """Add a word's scores to the sums of rows that were found."""
    if len(found) * _MUCH_SHORTER < len(posting.rows):
        places = np.searchsorted(posting.rows, found)
        places[places == len(posting.rows)] = 0
        held = posting.rows[places] == found
        sums[found[held]] += posting.scores[places[held]]
        return
    before = sums[posting.rows]
    held = before > 0
    sums[posting.rows[held]] = before[held] + posting.scores[held]


def _largest(rows: I32, scores: F32, k: int) -> tuple[I64, F32]:
    """The ``k`` rows with the largest scores, best first and equal ones by row."""
    if len(rows) > k:
        kept = np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[len(scores) - k])
        rows, scores = rows[kept], scores[kept]
    order = np.lexsort((rows, -scores))[:k]
    return rows[order].astype(np.int64), scores[order]
