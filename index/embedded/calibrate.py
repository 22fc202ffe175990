"""Measures, when an index is built, how far lists have to reach for searches to keep their recall."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from common.arrays import F32, Bool
from index.embedded.lists import Lists
from index.embedded.manifest import FEW, MANY, Probing, Reach, Reaches
from index.embedded.searched import nearest, probed
from index.embedded.selection import EVEN, EXACT_ROWS, Selection, Selector
from index.embedded.vectors import Vectors

#: Mean recall that every kind of filter has to have. *Inferred*: above the 0.95 that is promised, since
#: queries may be unlike the sample.
GOAL = 0.97
#: Queries for each kind of filter, and how far they are from an item, as a share of its length. *Inferred*.
QUERIES = 60
NOISES = (0.2, 0.5, 1.0)
#: Tried in order, the first that reaches the goal is taken.
REACHES = (2.0, 2.5, 3.0, 3.3, 3.6, 3.9, 4.2, 4.5, 4.8, 5.1, 5.5, 6.0, 6.5, 7.0, 8.0, 10.0, 14.0, 25.0)
#: Shares of the rows that the filters accept.
SHARES = (0.02, 0.1, 0.5)
_SEED = 2


def calibrate(vectors: Vectors, lists: Lists) -> Probing:
    """Measure the recall of ever longer reaches on queries near items, with and without filters.

    Some filters accept random rows, evenly or as unevenly as still counts as even. Others accept the rows of
    neighbouring lists, which are far from most queries and need the longest reach. So there are three
    reaches: without a filter, with an even and with an uneven one. Where none meets the goal the longest is
    taken, with which a search sees nearly all matches.
    """
    if vectors.rows <= EXACT_ROWS:  # every search is exact
        longest = Reach(REACHES[-1], REACHES[-1])
        return Probing(lists=len(lists), reaches=Reaches(longest, longest, longest), k=0, recall={})
    rng = np.random.default_rng(_SEED)
    k = min(MANY, max(1, vectors.rows // 100))
    selector = Selector(lists.starts, exact_rows=0)
    reaches: list[Reach] = []
    recall: dict[str, float] = {}
    for masks in ([("all", None)], _even(lists, rng), _uneven(lists, rng)):
        cases = [
            (name, selector.all if mask is None else selector.select(mask), _queries(vectors, rng))
            for name, mask in masks
        ]
        few, found_few = _reach(vectors, lists, cases, min(FEW, k))
        many, found_many = _reach(vectors, lists, cases, k)
        reaches.append(Reach(few, many))
        recall |= found_many | {f"{name}, k={min(FEW, k)}": found for name, found in found_few.items()}
    return Probing(lists=len(lists), reaches=Reaches(*reaches), k=k, recall=recall)


def _reach(
    vectors: Vectors, lists: Lists, cases: Sequence[tuple[str, Selection, F32]], k: int
) -> tuple[float, dict[str, float]]:
    """The least reach that meets the goal in all cases, and each one's recall with it."""
    truth = [
        [nearest(vectors, query, k, selection)[1][-1] for query in queries] for _, selection, queries in cases
    ]

    def found(reach: float, query: F32, selection: Selection, kth: float) -> float:
        if selection.matches is None:
            return 1.0
        _, scores = probed(vectors, lists, reach, query, k, selection)
        return min(1.0, float((scores >= kth).sum()) / min(k, selection.count))

    for reach in REACHES:
        recall = {}
        for (name, selection, queries), kths in zip(cases, truth, strict=True):
            shares = [found(reach, query, selection, kth) for query, kth in zip(queries, kths, strict=True)]
            recall[name] = round(float(np.mean(shares)), 4)
        if min(recall.values()) >= GOAL:
            break
    return reach, recall


def _even(lists: Lists, rng: np.random.Generator) -> Iterator[tuple[str, Bool]]:
    """Random rows; and random rows that are the more likely the further their list lies in one direction."""
    rows, sizes = int(lists.starts[-1]), np.diff(lists.starts)
    for share in SHARES:
        yield f"random {share:.0%}", rng.random(rows) < share
        side = lists.means @ lists.means[rng.integers(len(lists))]
        mean = np.average(side, weights=sizes)
        tilt = (side - mean) / np.sqrt(np.average((side - mean) ** 2, weights=sizes))
        yield f"leaning {share:.0%}", rng.random(rows) < np.repeat(share * (1 + EVEN * tilt), sizes)


def _uneven(lists: Lists, rng: np.random.Generator) -> Iterator[tuple[str, Bool]]:
    """All rows of lists that are neighbours."""
    number = np.repeat(np.arange(len(lists)), np.diff(lists.starts))
    for share in SHARES:
        near = lists.means @ lists.means[rng.integers(len(lists))]
        count = max(1, round(share * len(lists)))
        yield f"topical {share:.0%}", np.isin(number, np.argsort(-near)[:count])


def _queries(vectors: Vectors, rng: np.random.Generator) -> F32:
    """Items moved in random directions: float32 ``[QUERIES, dim]`` of unit length."""
    items = vectors.decode(rng.integers(vectors.rows, size=QUERIES))
    moves = rng.standard_normal(items.shape, dtype=np.float32) / np.float32(vectors.dim**0.5)
    queries = items + moves * np.resize(np.array(NOISES, np.float32), QUERIES)[:, None]
    return np.asarray(queries / np.linalg.norm(queries, axis=1, keepdims=True), dtype=np.float32)
