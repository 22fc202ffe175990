"""Writes the files of a base: from an embeddings folder when an index is built, from a base and the
changes to it when it is rebuilt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from artifacts.bundle.manifest import file_entry
from artifacts.words import RULES, tokeniser
from common.arrays import F16, F32, I64
from common.files import sync
from common.progress import StageProgress
from index.embedded.attributes import Column, write_attributes
from index.embedded.calibrate import calibrate
from index.embedded.ids import write_ids
from index.embedded.lists import CHUNK, ReadRows, arrange, assign, one_list, train_centroids
from index.embedded.manifest import (
    ATTRIBUTES_NAME,
    FEATURES_NAME,
    IDS_NAME,
    LISTS_NAME,
    PICTURE_LISTS_NAME,
    PICTURE_ROWS_NAME,
    PICTURES_NAME,
    TEXTS_NAME,
    VECTORS_NAME,
    WORDS_NAME,
    IndexManifest,
    Pictures,
    TextSpec,
)
from index.embedded.pictures import pictured
from index.embedded.texts import write_texts
from index.embedded.vectors import Vectors, write_vectors
from index.embedded.words import WordCounter

#: From this many rows on, vectors are clustered and a search probes lists; below, it is exact. *Inferred*:
#: exact search of 200k rows of 128 fp16 values takes 2 ms.
CLUSTER_ROWS = 200_000
#: Fewer picture features than this are never clustered: a list needs some vectors to be trained on.
_LEAST_CLUSTERED = 16


@dataclass(frozen=True)
class BaseSource:
    """What a base is written from; rows are numbered as the source has them."""

    #: Of the base that will be, without what only writing it tells: probing, files and version.
    manifest: IndexManifest
    #: pyarrow strings ``[rows]``.
    ids: Any
    #: Makes the column of an attribute with its rows taken in the order given.
    column: Callable[[str, I64], Column]
    vectors: ReadRows
    features: ReadRows
    #: Centroids to keep instead of training: float32 ``[lists, dim]``.
    centroids: F32 | None = None
    #: Texts of rows by field, in batches of `texts.BATCH` of the rows in the order given; None without texts.
    texts: Callable[[I64], Iterable[Sequence[Mapping[str, str]]]] | None = None
    #: Picture features by row, zeros without a picture; None where the base holds none.
    pictures: ReadRows | None = None


def write_base(
    source: BaseSource, work: Path, *, cluster_rows: int, progress: StageProgress
) -> IndexManifest:
    """Write a base into a folder of `store.working_folder`; its manifest.

    Memory is bounded by one column and one chunk of vectors. ``progress`` is told the vectors read, of those
    that all passes through them read.

    Raises:
        DuplicateId: two rows have one id. What reads the source may raise errors of its own.
    """
    rows, dim = source.manifest.rows, source.manifest.dim
    clustered = rows >= cluster_rows
    read = _telling(source.vectors, rows * (3 if clustered else 1), progress)
    order, lists = np.arange(rows), one_list(rows, dim)
    if clustered:
        centroids = source.centroids
        if centroids is None:
            centroids = train_centroids(source.vectors, rows, dim)
        order, lists = arrange(read, assign(read, rows, centroids), dim)
        lists.write(work / LISTS_NAME)
    write_ids(work / IDS_NAME, source.ids.take(pa.array(order)))
    kinds = sorted(source.manifest.attributes.items())
    columns = ((name, kind, source.column(name, order)) for name, kind in kinds)
    write_attributes(work / ATTRIBUTES_NAME, columns)
    chunks = [order[start : start + CHUNK] for start in range(0, rows, CHUNK)]
    _write_features(source, chunks, work / FEATURES_NAME)
    write_vectors(work / VECTORS_NAME, dim, lists.starts, map(read, chunks))
    probing = None
    if clustered:
        probing = calibrate(Vectors.open(work / VECTORS_NAME, dim, lists.starts), lists)
    pictures = None
    if source.pictures is not None:
        pictures = _write_pictures(source.pictures, order, source.manifest.picture_dim, work, cluster_rows)
    manifest = source.manifest.model_copy(
        update={"probing": probing, "texts": _write_texts(source, order, work), "pictures": pictures}
    )
    for name in manifest.file_names:
        sync(work / name)
    files = {name: file_entry(work / name) for name in manifest.file_names}
    return manifest.model_copy(update={"files": files}).versioned()


def _write_texts(source: BaseSource, order: I64, work: Path) -> TextSpec | None:
    """Write the texts of all rows and the table of their words; None where the base gets none."""
    spec = source.manifest.texts
    if spec is None or source.texts is None:
        return None
    counter = WordCounter(tokeniser(spec.language), spec.fields)

    def counted(batches: Iterable[Sequence[Mapping[str, str]]]) -> Iterator[Sequence[Mapping[str, str]]]:
        for batch in batches:
            counter.add(batch)
            yield batch

    write_texts(work / TEXTS_NAME, spec.fields, counted(source.texts(order)))
    table, mean_length = counter.table()
    table.write(work / WORDS_NAME)
    return spec.model_copy(update={"rules": RULES, "mean_length": mean_length})


def _write_features(source: BaseSource, chunks: Sequence[I64], path: Path) -> None:
    manifest = source.manifest
    shape = (manifest.rows, manifest.experts, manifest.expert_dim)
    features = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    for start, chunk in zip(range(0, manifest.rows, CHUNK), chunks, strict=True):
        features[start : start + CHUNK] = source.features(chunk)
    features.flush()


def _write_pictures(read: ReadRows, order: I64, dim: int, work: Path, cluster_rows: int) -> Pictures:
    """Write the picture features of the rows that have one, clustered by themselves where they are many.

    ``order`` int64 ``[rows]`` is the source's row at each row of the base.
    """
    parts = [order[start : start + CHUNK] for start in range(0, len(order), CHUNK)]
    items = np.flatnonzero(np.concatenate([pictured(read(part)) for part in parts]))
    rows = len(items)
    if rows == 0:
        return Pictures(dim=dim)

    def read_pictures(places: I64) -> F16:
        return read(order[items[places]])

    lists, probing = one_list(rows, dim), None
    clustered = rows >= max(cluster_rows, _LEAST_CLUSTERED)
    if clustered:
        centroids = train_centroids(read_pictures, rows, dim)
        arranged, lists = arrange(read_pictures, assign(read_pictures, rows, centroids), dim)
        items = items[arranged]
        lists.write(work / PICTURE_LISTS_NAME)
    np.save(work / PICTURE_ROWS_NAME, items.astype(np.int64))
    chunks = (np.arange(start, min(start + CHUNK, rows)) for start in range(0, rows, CHUNK))
    write_vectors(work / PICTURES_NAME, dim, lists.starts, map(read_pictures, chunks))
    if clustered:
        probing = calibrate(Vectors.open(work / PICTURES_NAME, dim, lists.starts), lists)
    return Pictures(dim=dim, rows=rows, probing=probing)


def _telling(read: ReadRows, total: int, progress: StageProgress) -> ReadRows:
    """Reads the same, and tells how many of ``total`` rows were read so far."""
    done = 0

    def telling(rows: I64) -> F16:
        nonlocal done
        done += len(rows)
        progress(done, total)
        return read(rows)

    return telling
