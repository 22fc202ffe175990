"""Search of the lists that may hold results, as far as their means and spreads tell.

A list's vectors score around what its mean scores against the query, the more widely the larger its spread.
A list is taken to hold results if its mean's score and so many spreads, its reach, come above the k-th score
found so far. That is the same likelihood for every row of every list, so that the rows which are searched
are those that are most likely to be results: of all rules with as many rows it finds the most. How many
spreads are needed is calibrated when the index is built.

Lists without matches of a filter cost nothing, and a filter whose matches lie far from the query pushes the
k-th score down, which draws more lists in.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import numpy as np

from common.arrays import F32, I64
from index.embedded.lists import Lists
from index.embedded.manifest import Reach
from index.embedded.vectors import inner_products

#: Gives rows of some lists and their inner products: those above a floor, at least the k best of them.
Look = Callable[[I64, float], tuple[I64, F32]]

#: Matches for each wanted result that the first round looks at, and how much a round may multiply what was
#: looked at: the k-th score rises from round to round, so that rushing searches lists in vain. *Inferred*,
#: measured: more of either costs rows, less costs rounds.
FIRST_MATCHES = 12
GROWTH = 8
#: Lists that are sorted before all are.
_HEAD = 32
#: Every list is searched that holds a match.
EXACT = Reach(inf, inf)


def probe(lists: Lists, reach: float, query: F32, k: int, matches: F32, look: Look) -> tuple[I64, F32]:
    """About the ``k`` best rows of ``query`` ``[dim]`` and their inner products, best first.

    Args:
        lists: the lists of the rows.
        reach: `Reach.at` the number of results.
        query: float32 ``[dim]``.
        k: at least 1.
        matches: float32 ``[lists]``, at most how many rows of each list may be found.
        look: searches lists.
    """
    # A dozen short calls of numpy cost as much as scoring a thousand rows, so there are few of them here,
    # methods where a function would only find the method.
    means = inner_products(query, lists.means)
    highest = means + np.float32(reach) * lists.spreads
    left = matches.copy()
    allowed = float(FIRST_MATCHES * k)
    chosen, held = _nearest(means, left, allowed)
    rows, scores = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    floor = np.float32(-inf)
    while len(chosen):
        allowed = GROWTH * max(allowed, held)
        left[chosen] = 0
        more_rows, more = look(chosen, float(floor))
        if len(rows):
            more_rows, more = np.concatenate([rows, more_rows]), np.concatenate([scores, more])
        rows, scores = more_rows, more
        if len(scores) > k:
            kept = scores.argpartition(len(scores) - k)[-k:]
            rows, scores = rows[kept], scores[kept]
        if len(scores) < k:
            chosen, held = _nearest(means, left, allowed)
            continue
        worst = scores.min()
        floor = np.nextafter(worst, np.float32(-inf))  # who scores the same may stand before it
        (chosen,) = ((highest > worst) & (left > 0)).nonzero()
        held = float(left[chosen].sum())
        if held > allowed:
            likely = ((means[chosen] - worst) / lists.spreads[chosen]).argsort()[::-1]
            chosen, held = _up_to(chosen[likely], left, allowed)
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
