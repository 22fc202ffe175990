"""Clusters vectors into lists when an index is built."""

from __future__ import annotations

from collections.abc import Callable

import faiss
import numpy as np

from index.embedded.lists import Lists
from index.embedded.vectors import I64
from index.port import F16, F32

#: Gives the vectors of some rows, float16 ``[len(rows), dim]``.
RowsOf = Callable[[I64], F16]
Progress = Callable[[int, int | None], None]

#: Lists for each square root of the rows, vectors trained on for each list, and rounds. *Inferred*: at 1M
#: rows 2048 lists answered faster than 1024 at equal recall, and 4096 took three times as long to train.
LISTS_PER_ROOT = 2.0
SAMPLE_PER_LIST = 64
ROUNDS = 8
CHUNK = 16_384
_SEED = 1


def train_centroids(vectors: RowsOf, rows: int, dim: int, lists: int | None = None) -> F32:
    """Centroids float32 ``[lists, dim]`` of unit length, from a sample; the same for the same vectors."""
    wanted = lists or round(LISTS_PER_ROOT * rows**0.5)
    wanted = max(1, min(wanted, rows // 4))
    sampled = np.random.default_rng(_SEED).choice(rows, min(rows, SAMPLE_PER_LIST * wanted), replace=False)
    sample = vectors(np.sort(sampled)).astype(np.float32)
    clustering = faiss.Kmeans(
        dim,
        wanted,
        niter=ROUNDS,
        spherical=True,
        seed=_SEED,
        min_points_per_centroid=1,
        max_points_per_centroid=SAMPLE_PER_LIST,
    )
    clustering.train(sample)
    return np.asarray(clustering.centroids, dtype=np.float32)


def assign(vectors: RowsOf, rows: int, centroids: F32, progress: Progress) -> I64:
    """The nearest centroid of each row: int64 ``[rows]``. A chunk of the vectors is in memory at a time."""
    nearest = faiss.IndexFlatIP(centroids.shape[1])
    nearest.add(centroids)
    lists = np.empty(rows, dtype=np.int64)
    for start in range(0, rows, CHUNK):
        places = np.arange(start, min(start + CHUNK, rows), dtype=np.int64)
        lists[places] = nearest.search(vectors(places).astype(np.float32), 1)[1][:, 0]
        progress(int(places[-1]) + 1, rows)
    return lists


def arrange(vectors: RowsOf, assigned: I64, dim: int) -> tuple[I64, Lists]:
    """Order the rows list by list, and describe the lists; empty lists are dropped.

    Returns:
        ``order`` int64 ``[rows]``: the row of ``vectors`` that stands at each new place; and the lists.
    """
    order = np.argsort(assigned, kind="stable")
    _, firsts = np.unique(assigned[order], return_index=True)
    starts = np.append(firsts, len(order)).astype(np.int64)
    sums = np.zeros((len(firsts), dim), dtype=np.float64)
    squares = np.zeros(len(firsts), dtype=np.float64)
    for begin in range(0, len(order), CHUNK):
        chunk = vectors(order[begin : begin + CHUNK]).astype(np.float32)
        lists = np.searchsorted(starts, np.arange(begin, begin + len(chunk)), side="right") - 1
        heads = np.flatnonzero(np.diff(lists, prepend=-1))
        sums[lists[heads]] += np.add.reduceat(chunk, heads, axis=0)
        squares[lists[heads]] += np.add.reduceat(np.einsum("ij,ij->i", chunk, chunk), heads)
    sizes = np.diff(starts)
    means = sums / sizes[:, None]
    variances = np.maximum(squares / sizes - np.einsum("ij,ij->i", means, means), 1e-6) / dim
    return order, Lists(starts, means.astype(np.float32), np.sqrt(variances).astype(np.float32))
