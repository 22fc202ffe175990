"""Writes the files of a base: from an embeddings folder when an index is built, from a base and the
changes to it when it is rebuilt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.attributes import AttributeKind
from artifacts.bundle.manifest import file_entry
from common.arrays import F32, I64
from common.files import sync
from common.progress import StageProgress
from index.embedded.attributes import Column, write_attributes
from index.embedded.calibrate import calibrate
from index.embedded.ids import write_ids
from index.embedded.lists import CHUNK, Lists, ReadRows, arrange, assign, one_list, train_centroids
from index.embedded.manifest import (
    ATTRIBUTES_NAME,
    FEATURES_NAME,
    IDS_NAME,
    LISTS_NAME,
    VECTORS_NAME,
    IndexManifest,
)
from index.embedded.vectors import Vectors, write_vectors

#: From this many rows on, vectors are clustered and a search probes lists; below, it is exact. *Inferred*:
#: exact search of 200k rows of 128 fp16 values takes 2 ms.
CLUSTER_ROWS = 200_000


@dataclass(frozen=True)
class BaseSource:
    """What a base is written from; rows are numbered as the source has them."""

    bundle_version: str
    data: str
    rows: int
    dim: int
    experts: int
    expert_dim: int
    #: The last change that the rows include.
    sequence: int
    #: pyarrow strings ``[rows]``.
    ids: Any
    attributes: Mapping[str, AttributeKind]
    #: Makes the column of an attribute with its rows taken in the order given (None: as they are).
    column: Callable[[str, I64 | None], Column]
    vectors: ReadRows
    features: ReadRows
    #: Centroids to keep instead of training: float32 ``[lists, dim]``.
    centroids: F32 | None = None


def write_base(
    source: BaseSource, work: Path, *, cluster_rows: int, progress: StageProgress
) -> IndexManifest:
    """Write a base into the folder ``work``; memory is bounded by one column and one chunk of vectors.

    Args:
        source: the rows.
        work: an empty folder.
        cluster_rows: see `CLUSTER_ROWS`.
        progress: rows done, of all the rows of every pass.

    Raises:
        DuplicateId: two rows have one id. What reads the source may raise errors of its own.
    """
    clustered = source.rows >= cluster_rows
    passes = _Passes(progress, source.rows, 2 if clustered else 1)
    order, lists = None, one_list(source.rows, source.dim)
    if clustered:
        order, lists = _cluster(source, passes)
        lists.write(work / LISTS_NAME)
    write_ids(work / IDS_NAME, source.ids if order is None else source.ids.take(order))
    kinds = sorted(source.attributes.items())
    write_attributes(
        work / ATTRIBUTES_NAME, ((name, kind, source.column(name, order)) for name, kind in kinds)
    )
    _write_features(source, order, work / FEATURES_NAME)
    numbers = (_chunk(order, start, source.rows) for start in range(0, source.rows, CHUNK))
    chunks = (passes.did(source.vectors(each), int(each.size)) for each in numbers)
    write_vectors(work / VECTORS_NAME, source.dim, lists.starts, chunks)
    probing = None
    if clustered:
        probing = calibrate(Vectors.open(work / VECTORS_NAME, source.dim, lists.starts), lists)
    names = (VECTORS_NAME, IDS_NAME, ATTRIBUTES_NAME, FEATURES_NAME, *((LISTS_NAME,) if clustered else ()))
    for name in names:
        sync(work / name)
    return IndexManifest(
        kind="ivf_fp16" if clustered else "flat_fp16",
        bundle_version=source.bundle_version,
        data=source.data,
        sequence=source.sequence,
        rows=source.rows,
        dim=source.dim,
        experts=source.experts,
        expert_dim=source.expert_dim,
        attributes=dict(source.attributes),
        probing=probing,
        files={name: file_entry(work / name) for name in names},
    ).versioned()


def _cluster(source: BaseSource, passes: _Passes) -> tuple[I64, Lists]:
    centroids = source.centroids
    if centroids is None:
        centroids = train_centroids(source.vectors, source.rows, source.dim)
    assigned = assign(source.vectors, source.rows, centroids, passes.at)
    passes.next()
    return arrange(source.vectors, assigned, source.dim)


def _write_features(source: BaseSource, order: I64 | None, path: Path) -> None:
    shape = (source.rows, source.experts, source.expert_dim)
    features = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    for start in range(0, source.rows, CHUNK):
        features[start : start + CHUNK] = source.features(_chunk(order, start, source.rows))
    features.flush()


def _chunk(order: I64 | None, start: int, rows: int) -> I64:
    if order is None:
        return np.arange(start, min(start + CHUNK, rows), dtype=np.int64)
    return order[start : start + CHUNK]


class _Passes:
    """Progress over several passes through the rows."""

    def __init__(self, progress: StageProgress, rows: int, passes: int) -> None:
        self._progress = progress
        self._total = rows * passes
        self._rows = rows
        self._before = 0
        self._done = 0

    def at(self, done: int, total: int | None) -> None:
        """So far in this pass."""
        self._progress(self._before + done, self._total)

    def next(self) -> None:
        """A pass is over."""
        self._before += self._rows

    def did(self, chunk: Any, rows: int) -> Any:
        """Some more rows of this pass; hands the chunk through."""
        self._done += rows
        self.at(self._done, None)
        return chunk
