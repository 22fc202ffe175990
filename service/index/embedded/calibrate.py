"""Finds how sure a search has to be: the guard with which probing keeps its recall, measured at build."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from service.index.embedded.attributes import Mask
from service.index.embedded.lists import Lists
from service.index.embedded.manifest import Probing
from service.index.embedded.probe import Guard, probe
from service.index.embedded.selection import EXACT_ROWS, Selection, Selector
from service.index.embedded.vectors import I64, Vectors
from service.index.port import F32

#: Recall that every kind of filter has to reach on average, and how many results it is measured at.
#: *Inferred*: above the 0.95 that is promised, by a margin for queries unlike the sample.
GOAL = 0.97
K = 200
#: Queries for each kind of filter, and how far they are from an item, as a share of its length. *Inferred*.
QUERIES = 36
NOISES = (0.2, 0.5, 1.0)
#: Tried in order, the first that reaches the goal is taken.
SPREADS = (1.0, 1.2, 1.4, 1.7, 2.0, 2.4, 2.8, 4.0, 8.0)
MISS = 0.03
_SEED = 2
_ALL = "all"


def calibrate(vectors: Vectors, lists: Lists) -> Probing:
    """Measure the recall of ever surer guards on queries near items, with and without filters.

    Filters accept random shares of the rows, and rows of neighbouring lists, with which most queries are
    at odds. Where no guard reaches the goal, the last is taken: a search then sees nearly all matches.
    """
    if vectors.rows <= EXACT_ROWS:  # every search is exact
        surest = SPREADS[-1]
        return Probing(lists=len(lists), spread=surest, filtered_spread=surest, miss=MISS, k=0, recall={})
    rng = np.random.default_rng(_SEED)
    k = min(K, max(1, vectors.rows // 100))
    selector = Selector(lists.starts, exact_rows=0)
    cases = [
        (name, selector.all if mask is None else selector.of(mask), _queries(vectors, rng))
        for name, mask in _masks(lists, rng)
    ]
    truths = [[_kth(vectors, query, k, selection) for query in queries] for _, selection, queries in cases]
    spreads: dict[bool, float] = {}
    recall: dict[str, float] = {}
    for filtered in (False, True):
        chosen = [
            (case, kths) for case, kths in zip(cases, truths, strict=True) if (case[0] != _ALL) == filtered
        ]
        for spread in SPREADS:
            spreads[filtered] = spread
            for (name, selection, queries), kths in chosen:
                found = [
                    _recall(vectors, lists, Guard(spread, MISS), query, k, selection, kth)
                    for query, kth in zip(queries, kths, strict=True)
                ]
                recall[name] = round(float(np.mean(found)), 4)
                if recall[name] < GOAL and spread != SPREADS[-1]:
                    break
            else:
                break
    return Probing(
        lists=len(lists),
        spread=spreads[False],
        filtered_spread=spreads[True],
        miss=MISS,
        k=k,
        recall=recall,
    )


def _masks(lists: Lists, rng: np.random.Generator) -> Iterator[tuple[str, Mask | None]]:
    rows = int(lists.starts[-1])
    yield _ALL, None
    for share in (0.02, 0.1, 0.5):
        yield f"random {share:.0%}", rng.random(rows) < share
    number = np.repeat(np.arange(len(lists)), np.diff(lists.starts))
    for share in (0.02, 0.1, 0.5):
        near = lists.means @ lists.means[rng.integers(len(lists))]
        count = max(1, round(share * len(lists)))
        yield f"topical {share:.0%}", np.isin(number, np.argsort(-near)[:count])


def _queries(vectors: Vectors, rng: np.random.Generator) -> F32:
    """Items moved in random directions: float32 ``[QUERIES, dim]`` of unit length."""
    items = vectors.decode(rng.integers(vectors.rows, size=QUERIES))
    moves = rng.standard_normal(items.shape, dtype=np.float32) / np.float32(vectors.dim**0.5)
    queries = items + moves * np.resize(np.array(NOISES, np.float32), QUERIES)[:, None]
    return np.asarray(queries / np.linalg.norm(queries, axis=1, keepdims=True), dtype=np.float32)


def _kth(vectors: Vectors, query: F32, k: int, selection: Selection) -> float:
    """The ``k``-th score of the exact search, or the last where there are fewer."""
    if selection.rows is not None:
        _, scores = vectors.search_rows(query, k, selection.rows)
    else:
        _, scores = vectors.search(query, k, selection.bits)
    return float(scores[-1])


def _recall(
    vectors: Vectors, lists: Lists, guard: Guard, query: F32, k: int, selection: Selection, kth: float
) -> float:
    def look(chosen: I64) -> tuple[I64, F32]:
        if selection.dense(chosen, lists.sizes):
            return vectors.search(query, k, selection.bits, chosen)
        return vectors.search_rows(query, k, selection.of_lists(chosen))

    if selection.matches is None:
        return 1.0
    _, scores = probe(lists, guard, query, k, selection.matches, look)
    return min(1.0, float((scores >= kth).sum()) / min(k, selection.count))
