"""Measures of recall and relevance.

The paper names Recall@K, Rele@K_p and Rele@K_p_w; how they are defined here is *inferred*.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]


def recall_at(ranks: npt.NDArray[np.integer], k: int) -> float:
    """Recall@K: share of held-out clicked items that are in the top K.

    Args:
        ranks: ``[n]``, the 1-based rank of each held-out item in the answer to its query; 0 = not found.
        k: K.

    Returns:
        0 to 1; 0 where there is nothing to find.
    """
    return float(((ranks > 0) & (ranks <= k)).mean()) if len(ranks) else 0.0


def mean_reciprocal_rank(ranks: npt.NDArray[np.integer]) -> float:
    """MRR: mean of 1 / rank, where an item that was not found (rank 0) counts 0."""
    inverse = np.where(ranks > 0, 1.0 / np.maximum(ranks, 1), 0.0)
    return float(inverse.mean()) if len(ranks) else 0.0


def relevance_at(
    relevance: npt.NDArray[np.floating], p: float, weights: npt.NDArray[np.floating] | None = None
) -> float:
    """Rele@K_p: share of the top K whose relevance label (or judge score) is at least p.

    With weights it is Rele@K_p_w: the same, weighted by the traffic of each query.

    Args:
        relevance: ``[q, K]``, relevance of each query's top K; NaN where nothing stands (counts as not
            relevant).
        p: least relevance that counts.
        weights: ``[q]``, times each query was asked.
    """
    if not relevance.size:
        return 0.0
    shares = np.mean(np.nan_to_num(relevance, nan=-1.0) >= p, axis=1)
    return float(np.average(shares, weights=weights))


def ndcg_at(gains: npt.NDArray[np.floating], ideal: npt.NDArray[np.floating], k: int) -> Float64:
    """nDCG@K of each query, with gains as they are (linear) and a discount of log2(rank + 1).

    Args:
        gains: ``[q, at least K]``, gain of the item at each rank.
        ideal: ``[q, m]``, gains of all items that the query could have got, in any order.
        k: K.

    Returns:
        ``[q]``, 0 to 1; 0 for a query without any gain to be had.
    """
    best = -np.sort(-ideal, axis=1)[:, :k]
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    got: Float64 = (gains[:, :k] * discount[: gains[:, :k].shape[1]]).sum(axis=1)
    most: Float64 = (best * discount[: best.shape[1]]).sum(axis=1)
    return np.where(most > 0, got / np.where(most > 0, most, 1.0), 0.0)


def ranks_of(answers: npt.NDArray[np.integer], wanted: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """1-based rank of ``wanted[i]`` in ``answers[i]``, or 0: ``[n, K]`` and ``[n]`` -> ``[n]``."""
    hits: Bool = answers == wanted[:, None]
    found = hits.any(axis=1)
    return np.where(found, hits.argmax(axis=1) + 1, 0).astype(np.int64)
