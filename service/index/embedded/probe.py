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
_HEAD = 64


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
    left = matches.copy()
    means = inner_products(query, lists.means)
    scales = guard.spread * lists.spreads
    rows, scores = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    allowed = float(FIRST_MATCHES * k)
    chosen = _nearest(means, left, allowed)
    while len(chosen):
        allowed = GROWTH * max(allowed, float(left[chosen].sum()))
        left[chosen] = 0
        more_rows, more = look(chosen)
        rows, scores = np.concatenate([rows, more_rows]), np.concatenate([scores, more])
        if len(scores) > k:
            kept = np.argpartition(-scores, k - 1)[:k]
            rows, scores = rows[kept], scores[kept]
        if len(scores) < k:
            chosen = _nearest(means, left, allowed)
            continue
        hits = left * _tail((scores.min() - means) / scales)
        surplus = float(hits.sum()) - guard.miss * k
        if surplus <= 0:
            break
        # Most lists hold next to nothing, and sorting those would cost more than all the rest.
        likely = np.flatnonzero(hits > guard.miss * k / (10 * len(hits)))
        order = likely[np.argsort(-hits[likely])]
        enough = int(np.searchsorted(np.cumsum(hits[order]), surplus)) + 1
        chosen = _up_to(order[:enough], left, allowed)
    order = np.lexsort((rows, -scores))
    return rows[order], scores[order]


def _nearest(means: F32, left: F32, allowed: float) -> I64:
    """The lists with the best means that hold matches, until they hold as many as allowed."""
    distances = np.where(left > 0, -means, np.inf)
    if len(distances) > _HEAD:
        head = np.argpartition(distances, _HEAD)[:_HEAD]
        if left[head].sum() >= allowed:
            return _up_to(head[np.argsort(distances[head])], left, allowed)
    return _up_to(np.argsort(distances), left, allowed)


def _up_to(order: I64, left: F32, allowed: float) -> I64:
    """The first lists of ``order`` that hold matches, until they hold as many as allowed."""
    held = left[order]
    last = int(np.searchsorted(np.cumsum(held), allowed)) + 1
    return order[:last][held[:last] > 0]


def _tail(z: F32) -> F32:
    """The share of a normal distribution above ``z``; within 0.002 of it, and cheap."""
    distance = np.abs(z)
    above = 0.5 * np.exp(-(0.717 + 0.416 * distance) * distance)
    return np.where(z < 0, 1 - above, above)
