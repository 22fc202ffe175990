"""The lists that rows are clustered into, each with its mean and its spread, and how they are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import faiss
import numpy as np

from common.arrays import F16, F32, I64

#: Gives the vectors of some rows, float16 ``[len(rows), dim]``.
ReadRows = Callable[[I64], F16]

#: Lists for each square root of the rows, vectors trained on for each list, and rounds. *Inferred*: at 1M
#: rows 2048 lists answered faster than 1024 at equal recall, and 4096 took three times as long to train.
LISTS_PER_ROOT = 2.0
SAMPLE_PER_LIST = 64
ROUNDS = 8
#: Rows that are read, and so in memory, at a time.
CHUNK = 16_384
_SEED = 1


@dataclass(frozen=True)
class Lists:
    """``starts`` int64 ``[lists + 1]``, ``means`` float32 ``[lists, dim]``, ``spreads`` float32 ``[lists]``.

    ``spreads`` is the standard deviation of a list's vectors along a direction, averaged over all directions.
    No list is empty. A flat index is one list.
    """

    starts: I64
    means: F32
    spreads: F32

    @cached_property
    def sizes(self) -> F32:
        """Rows of each list, float32 ``[lists]``."""
        return np.diff(self.starts).astype(np.float32)

    def __len__(self) -> int:
        return len(self.spreads)

    def write(self, path: Path) -> None:
        """Write the lists' file."""
        with path.open("wb") as file:
            np.savez(file, starts=self.starts, means=self.means, spreads=self.spreads)

    @classmethod
    def open(cls, path: Path, rows: int, dim: int) -> Lists:
        """Read a lists' file: a megabyte for a million rows.

        Raises:
            ValueError: the file holds something else.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                means = np.ascontiguousarray(arrays["means"], dtype=np.float32)
                lists = cls(arrays["starts"], means, arrays["spreads"])
        except Exception as error:  # numpy and zipfile raise errors of many types on a damaged file
            raise ValueError(f"it is no lists file ({error})") from error
        starts = lists.starts
        if lists.means.shape != (len(lists), dim) or starts.shape != (len(lists) + 1,):
            raise ValueError(f"its arrays have shapes {starts.shape}, {lists.means.shape}; dim is {dim}")
        if int(starts[0]) != 0 or int(starts[-1]) != rows or (np.diff(starts) <= 0).any():
            raise ValueError(f"its lists do not cover {rows} rows")
        return lists


def one_list(rows: int, dim: int) -> Lists:
    """The lists of a flat index."""
    starts = np.array([0, rows], dtype=np.int64)
    return Lists(starts, np.zeros((1, dim), np.float32), np.ones(1, np.float32))


def train_centroids(vectors: ReadRows, rows: int, dim: int) -> F32:
    """Centroids float32 ``[lists, dim]`` of unit length, from a sample; the same for the same vectors."""
    wanted = max(1, min(round(LISTS_PER_ROOT * rows**0.5), rows // 4))
    sampled = np.random.default_rng(_SEED).choice(rows, min(rows, SAMPLE_PER_LIST * wanted), replace=False)
    clustering = faiss.Kmeans(
        dim,
        wanted,
        niter=ROUNDS,
        spherical=True,
        seed=_SEED,
        min_points_per_centroid=1,
        max_points_per_centroid=SAMPLE_PER_LIST,
    )
    clustering.train(vectors(np.sort(sampled)).astype(np.float32))
    return np.asarray(clustering.centroids, dtype=np.float32)


def assign(vectors: ReadRows, rows: int, centroids: F32) -> I64:
    """The nearest centroid of each row: int64 ``[rows]``."""
    nearest = faiss.IndexFlatIP(centroids.shape[1])
    nearest.add(centroids)
    lists = np.empty(rows, dtype=np.int64)
    for start in range(0, rows, CHUNK):
        chunk = np.arange(start, min(start + CHUNK, rows), dtype=np.int64)
        lists[chunk] = nearest.search(vectors(chunk).astype(np.float32), 1)[1][:, 0]
    return lists


def arrange(vectors: ReadRows, assigned: I64, dim: int) -> tuple[I64, Lists]:
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
