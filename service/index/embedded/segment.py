"""An immutable set of items that is searched as one: the base of an index is a segment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from service.index.embedded.attributes import Attributes
from service.index.embedded.ids import IdTable
from service.index.embedded.manifest import (
    ATTRIBUTES_NAME,
    FEATURES_NAME,
    IDS_NAME,
    VECTORS_NAME,
    IndexDamaged,
    IndexManifest,
)
from service.index.embedded.selection import Selection, Selections
from service.index.embedded.vectors import I64, FlatVectors
from service.index.filters import Filter
from service.index.port import F16, F32

T = TypeVar("T")


class Segment:
    """Vectors, ids, attributes and features that share row numbers. All of it may be used by any thread."""

    def __init__(self, ids: IdTable, vectors: FlatVectors, attributes: Attributes, features: F16) -> None:
        self._ids = ids
        self._vectors = vectors
        self._selections = Selections(attributes)
        self._features = features
        self.rows = ids.rows
        self.dim = vectors.dim

    @classmethod
    def open(cls, folder: Path, manifest: IndexManifest) -> Segment:
        """Map the files of an index folder.

        Raises:
            IndexDamaged: a file does not hold what the manifest says.
        """
        ids = _open(folder / IDS_NAME, IdTable.open)
        vectors = _open(folder / VECTORS_NAME, FlatVectors.open)
        attributes = _open(folder / ATTRIBUTES_NAME, lambda path: Attributes.open(path, manifest.rows))
        features: F16 = _open(folder / FEATURES_NAME, lambda path: np.load(path, mmap_mode="r"))
        if ids.rows != manifest.rows:
            raise IndexDamaged(folder / IDS_NAME, f"has {ids.rows} ids, expected {manifest.rows}")
        if (vectors.rows, vectors.dim) != (manifest.rows, manifest.dim):
            found, expected = (vectors.rows, vectors.dim), (manifest.rows, manifest.dim)
            raise IndexDamaged(folder / VECTORS_NAME, f"has shape {found}, expected {expected}")
        shape = (manifest.rows, manifest.experts, manifest.expert_dim)
        if features.shape != shape or features.dtype != np.float16:
            found_features = f"{features.dtype} {features.shape}"
            raise IndexDamaged(folder / FEATURES_NAME, f"has {found_features}, expected float16 {shape}")
        return cls(ids, vectors, attributes, features)

    def select(self, accepted: Filter | None) -> Selection:
        """The rows that a filter accepts."""
        return self._selections.get(accepted)

    def search(self, query: F32, k: int, selection: Selection) -> tuple[list[str], F32]:
        """Ids and inner products of the ``k`` nearest selected rows to ``query`` ``[dim]``, best first."""
        rows, scores = nearest(self._vectors, query, k, selection)
        return self._ids.ids(rows), scores

    def vectors(self, ids: Sequence[str]) -> tuple[list[str], F32]:
        """Known ids and their vectors, float32 ``[n, dim]``."""
        known, rows = self._ids.find(ids)
        return known, self._vectors.decode(rows)

    def features(self, ids: Sequence[str]) -> tuple[list[str], F16]:
        """Known ids and their features, float16 ``[n, experts, expert_dim]``."""
        known, rows = self._ids.find(ids)
        return known, np.asarray(self._features[rows])


def nearest(vectors: FlatVectors, query: F32, k: int, selection: Selection) -> tuple[I64, F32]:
    """The ``k`` best selected rows, best first and equal scores by row; exact whatever the selection.

    faiss leaves open which of several rows with the ``k``-th score it returns. One row more than asked
    shows whether that happened; then the search widens until the tie is complete.
    """
    wanted = min(k, selection.count)
    if wanted == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    searched = vectors if selection.rows is None else vectors.subset(selection.rows)
    asked = min(wanted + 1, selection.count)
    while True:
        rows, scores = searched.search(query, asked, selection.bits)
        if asked == selection.count or scores[-1] < scores[wanted - 1]:
            break
        asked = min(4 * asked, selection.count)
    order = np.lexsort((rows, -scores))[:wanted]
    rows, scores = rows[order], scores[order]
    return (rows if selection.rows is None else selection.rows[rows]), scores


def _open(path: Path, opener: Callable[[Path], T]) -> T:
    try:
        return opener(path)
    except (OSError, ValueError) as error:
        raise IndexDamaged(path, str(error)) from error
