"""Co-clicks: for each item the items that the same users clicked, carted or ordered around the same time.

From the paper: items too have a clicked-item history. *Inferred*: what counts as one visit. Only events
of the train split count, so that held-out clicks do not leak into item embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from artifacts.bundle.manifest import CoClickSpec, Preprocessing
from artifacts.embeddings import Behaviours
from artifacts.shop.shop import Shop
from common.arrays import F16, F32, F64, I64
from models.dataset.log import read_log

#: Two behaviours of a user within this many seconds belong to one visit (*inferred*).
WINDOW_SECONDS = 3600.0
#: Pairs counted at a time; bounds the memory of the counting.
_PAIRS_AT_ONCE = 8_000_000


@dataclass(frozen=True)
class CoClicks:
    """CSR over the catalogue's row order: ``indptr`` int64 ``[N + 1]``, ``indices`` int64, ``weights``
    float32, above 0, and ``seen`` int64, how often the two items were seen together; ``clicks`` int64
    ``[N]``, how many behaviours of each item were counted."""

    indptr: I64
    indices: I64
    weights: F32
    seen: I64
    clicks: I64

    def statistics(self, rows: I64 | slice, less: I64 | None = None) -> F32:
        """How often items were clicked, float32 ``[n, 1]``: log(1 + clicks / their mean over the catalogue).

        So it does not depend on how long a log is (*inferred*). ``less`` int64 ``[n]`` clicks do not count.
        """
        clicks = self.clicks[rows] if less is None else np.maximum(self.clicks[rows] - less, 0)
        mean = max(float(self.clicks.mean()), 1e-9) if len(self.clicks) else 1.0
        result: F32 = np.log1p(clicks / mean).astype(np.float32)[:, None]
        return result

    def mean_features(self, features: F16, start: int, end: int) -> F32:
        """Weighted mean features of items co-clicked with rows ``start`` to ``end``; zeros where none are.

        float16 ``[N, E, d]``, which may be memory-mapped -> float32 ``[end - start, E, d]``.
        """
        counts = np.diff(self.indptr[start : end + 1])
        chosen = slice(self.indptr[start], self.indptr[end])
        result = np.zeros((end - start, *features.shape[1:]), dtype=np.float32)
        owners = np.repeat(np.arange(end - start), counts)
        weights = self.weights[chosen]
        near = features[self.indices[chosen]].astype(np.float32) * weights[:, None, None]
        np.add.at(result, owners, near)
        total = np.bincount(owners, weights, minlength=end - start).astype(np.float32)
        result /= np.where(counts > 0, total, 1.0)[:, None, None]
        return result

    def without(self, row: int, items: I64, times: I64, *, cosine: bool) -> tuple[I64, F32]:
        """The co-clicked items of a row and their weights, as if some pairs had been seen less often.

        Args:
            row: of the catalogue.
            items: distinct rows, sorted; those that are not co-clicked with ``row`` do not matter.
            times: how often less each was seen.
            cosine: whether weights are cosines (`CoClickSpec.cosine`), which shrink with the pairs that were
                seen; others are 1 as long as one pair is left. The items' own counts stay as they are.
        """
        chosen = slice(self.indptr[row], self.indptr[row + 1])
        near, weights, seen = self.indices[chosen], self.weights[chosen], self.seen[chosen]
        if not len(items) or not len(near):
            return near, weights
        places = np.searchsorted(items, near).clip(max=len(items) - 1)
        left = seen - np.where(items[places] == near, times[places], 0)
        kept = left > 0
        shrunk = weights * left / seen if cosine else weights
        return near[kept], shrunk[kept].astype(np.float32)


def coclicked_as_trained(
    shop: Shop, preprocessing: Preprocessing, behaviours: Behaviours = "train"
) -> CoClicks:
    """The co-clicks of a shop, counted as a bundle's manifest says; events without a user are skipped.

    Args:
        shop: whose events are counted.
        preprocessing: of the bundle.
        behaviours: ``train``: of the train split, as training has it; ``all``: the held-out ones too.

    Raises:
        DataError: a row of items or events cannot be read.
    """
    rows = {item.id: row for row, item in enumerate(shop.items())}
    log = read_log(shop, rows, preprocessing.held_out)
    counted = log.trains if behaviours == "train" else log.behave
    user, item, at = (log[name][counted] for name in ("user", "item", "at"))
    return count_pairs(user.astype(np.int64), item.astype(np.int64), at, len(rows), preprocessing.coclicks)


def count_pairs(user: I64, item: I64, at: F64, items: int, spec: CoClickSpec) -> CoClicks:
    """The items most often clicked with each item, best first; ties in catalogue order.

    Args:
        user, item, at: user id, item row and POSIX seconds of each behaviour, in any order.
        items: N.
        spec: with ``cosine`` they are ranked and weighted by pairs seen over the root of both items'
            behaviours; otherwise those seen most often are kept, of equal weight.
    """
    order = np.lexsort((item, at, user))
    user, item, at = user[order], item[order], at[order]
    # More would never be of one visit.
    visits = np.unique(np.stack([user, at // WINDOW_SECONDS]), axis=1, return_counts=True)[1]
    following = min(spec.following, 2 * int(visits.max(initial=1)))
    blocks = max(1, -(-len(item) * 2 * following // _PAIRS_AT_ONCE))
    often = np.sqrt(np.bincount(item, minlength=items))
    counts = np.zeros(items, dtype=np.int64)
    kept: list[I64] = []
    together: list[I64] = []
    worth: list[F32] = []
    edges = np.linspace(0, items, blocks + 1).astype(np.int64)
    for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        left, right, seen = _pairs(user, item, at, low, high, items, following)
        weights = seen / (often[left] * often[right]) if spec.cosine else seen
        # By item, then what goes most with it, then catalogue order.
        ranked = np.lexsort((right, -weights, left))
        place = np.arange(len(left)) - np.searchsorted(left[ranked], left[ranked])
        best = ranked[place < spec.top]
        left, right, weights = left[best], right[best], weights[best]
        counts += np.bincount(left, minlength=items)
        kept.append(right)
        together.append(seen[best])
        worth.append((weights if spec.cosine else np.ones(len(weights))).astype(np.float32))
    indptr = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
    clicks = np.bincount(item, minlength=items).astype(np.int64)
    return CoClicks(indptr, np.concatenate(kept), np.concatenate(worth), np.concatenate(together), clicks)


def _pairs(
    user: I64, item: I64, at: F64, low: int, high: int, items: int, following: int
) -> tuple[I64, I64, I64]:
    """Distinct pairs ``(left in [low, high), right)`` and how often each was seen."""
    keys = [np.zeros(0, dtype=np.int64)]
    for lag in range(1, min(following, len(item) - 1) + 1):
        a, b = item[:-lag], item[lag:]
        near = (user[:-lag] == user[lag:]) & (at[lag:] - at[:-lag] <= WINDOW_SECONDS) & (a != b)
        for one, other in ((a, b), (b, a)):
            inside = near & (one >= low) & (one < high)
            keys.append(one[inside] * items + other[inside])
    distinct, seen = np.unique(np.concatenate(keys), return_counts=True)
    return distinct // max(items, 1), distinct % max(items, 1), seen
