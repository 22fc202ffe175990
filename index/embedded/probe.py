"""Search of the lists that may hold results, as far as their means and spreads tell.

A list's vectors score around its mean's score, the more widely the larger the list's spread. A list is taken
to hold results if the score of its mean plus `Reach` spreads is above the k-th score found so far. That bound
is equally likely to be passed by a row of any list, so the rows that are searched are those most likely to be
results: no other rule finds more with as many rows. The reach is calibrated when the index is built.

Lists without matches of a filter cost nothing. A filter whose matches lie far from the query has a low k-th
score, so that more lists are searched.
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

#: Matches that the first round looks at, for each wanted result, and the factor by which a later round may
#: look at more. The k-th score rises from round to round, so a round that looks at too much searches lists in
#: vain; one that looks at too little costs another round. *Inferred*, measured.
FIRST_MATCHES = 12
GROWTH = 8
#: Lists that are sorted before all are.
_HEAD = 32
#: Every list is searched that holds a match.
EXACT = Reach(inf, inf)


def probe(lists: Lists, reach: float, query: F32, k: int, matches: F32, look: Look) -> tuple[I64, F32]:
    """About the ``k`` best rows of ``query`` float32 ``[dim]`` and their inner products, best first.

    ``k`` is at least 1; ``reach`` is `Reach.at` the number of results; ``matches`` float32 ``[lists]`` is at
    most how many rows of each list may be found.
    """
    # A dozen short calls of numpy take as long as scoring a thousand rows: few calls, and methods, not
    # the functions that look them up.
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
        floor = np.nextafter(worst, np.float32(-inf))  # a row with the same score may stand before it
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
    # Lists without matches are the last in order.
    return chosen if held[last - 1] > 0 else chosen[held[:last] > 0], float(totals[last - 1])
