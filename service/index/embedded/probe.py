"""Search of the lists that may hold results, with an estimate of what the others still hold.

Scores of a list's vectors against a query are taken as normal around the query's score of the list's
mean, with the list's spread times a factor that is calibrated when the index is built. So the number of
results that an unsearched list holds can be estimated: its matches times the normal tail above the k-th
score found so far. Lists are searched until the estimated misses are within a bound. Matches are counted
by list for each filter, so the estimate holds for filters of any share, and for those that are correlated
with the query one way or the other: lists without matches cost nothing, and a filter whose matches lie
far from the query pushes the k-th score down, which draws more lists in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from service.index.embedded.lists import Lists
from service.index.embedded.vectors import I64, inner_products
from service.index.port import F32

#: Gives the best k rows of some lists, and their inner products.
Look = Callable[[I64], tuple[I64, F32]]

#: Matches for each wanted result that the first round looks at, and how much a round may multiply what
#: was looked at: the estimate sharpens from round to round, so that rushing searches lists in vain.
FIRST_MATCHES = 12
GROWTH = 4
#: Lists that are sorted before all are.
_HEAD = 32


@dataclass(frozen=True, slots=True)
class Guard:
    """When a search has seen enough. ``spread`` multiplies the lists' spreads, ``miss`` is the share of
    the k results that may be missed by the estimate. Calibrated, see `calibrate`.
    """

    spread: float
    miss: float


#: Searches every list that holds a match.
EXACT = Guard(spread=1e9, miss=0.0)


def probe(lists: Lists, guard: Guard, query: F32, k: int, matches: F32, look: Look) -> tuple[I64, F32]:
    """About the ``k`` best rows of ``query`` ``[dim]`` and their inner products, best first.

    Args:
        lists: the lists of the rows.
        guard: how sure to be.
        query: float32 ``[dim]``.
        k: at least 1.
        matches: float32 ``[lists]``, at most how many rows of each list may be found.
        look: searches lists.
    """
    # A dozen short calls of numpy cost as much as scoring a thousand rows, so there are few of them here,
    # methods where a function would only find the method.
    means = inner_products(query, lists.means)
    scales = guard.spread * lists.spreads
    left = matches.copy()
    allowed = float(FIRST_MATCHES * k)
    chosen, held = _nearest(means, left, allowed)
    rows, scores = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    while len(chosen):
        allowed = GROWTH * max(allowed, held)
        left[chosen] = 0
        more_rows, more = look(chosen)
        if len(rows):
            more_rows, more = np.concatenate([rows, more_rows]), np.concatenate([scores, more])
        rows, scores = more_rows, more
        if len(scores) > k:
            kept = scores.argpartition(len(scores) - k)[-k:]
            rows, scores = rows[kept], scores[kept]
        if len(scores) < k:
            chosen, held = _nearest(means, left, allowed)
            continue
        hits = _tail((scores.min() - means) / scales)
        hits *= left
        surplus = float(hits.sum()) - guard.miss * k
        if surplus <= 0:
            break
        # Most lists hold next to nothing, and sorting those would cost more than all the rest.
        (likely,) = (hits > guard.miss * k / (10 * len(hits))).nonzero()
        expected = hits[likely]
        order = expected.argsort()[::-1]
        enough = int(expected[order].cumsum().searchsorted(surplus)) + 1
        chosen, held = _up_to(likely[order[:enough]], left, allowed)
    order = np.lexsort((rows, -scores))
    return rows[order], scores[order]


def _nearest(means: F32, left: F32, allowed: float) -> tuple[I64, float]:
    """The lists with the best means that hold matches, until they hold as many as allowed."""
    means = np.where(left > 0, means, -np.inf)
    if len(means) > _HEAD:
        (head,) = (means >= np.partition(means, -_HEAD)[-_HEAD]).nonzero()
        chosen, held = _up_to(head[means[head].argsort()[::-1]], left, allowed)
        if held >= allowed:
            return chosen, held
    return _up_to(means.argsort()[::-1], left, allowed)


def _up_to(order: I64, left: F32, allowed: float) -> tuple[I64, float]:
    """The first lists of ``order`` that hold matches, until they hold as many as allowed; and how many."""
    held = left[order]
    totals = held.cumsum()
    last = min(int(totals.searchsorted(allowed)) + 1, len(order))
    chosen = order[:last]
    # In all cases but one: lists without matches are the last to be chosen.
    return chosen if held[last - 1] > 0 else chosen[held[:last] > 0], float(totals[last - 1])


def _tail(z: F32) -> F32:
    """The share of a normal distribution above ``z``; within 0.002 of it, and cheap."""
    distance = np.abs(z)
    above = np.exp((-0.717 - 0.416 * distance) * distance)
    above *= 0.5
    (below,) = (z < 0).nonzero()
    if len(below):
        above[below] = 1 - above[below]
    return above
