"""An immutable set of items that is searched as one: the base of an index is a segment."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from common.arrays import F16, F32, I64
from index.embedded.attributes import Attributes
from index.embedded.forward import Forward
from index.embedded.ids import IdTable
from index.embedded.manifest import (
    ATTRIBUTES_NAME,
    FEATURES_NAME,
    IDS_NAME,
    LISTS_NAME,
    VECTORS_NAME,
    IndexDamaged,
    IndexManifest,
)
from index.embedded.pictures import PictureRows
from index.embedded.searched import AS_CALIBRATED, Planning, Tombstones, open_searched, opened
from index.embedded.segment_words import SegmentWords
from index.embedded.selection import Selection
from index.embedded.top import Ordered
from index.embedded.workers import Step, unhindered


class Segment:
    """Vectors, ids, attributes and features that share row numbers, memory-mapped. For any thread.

    Raises:
        IndexDamaged: a file of the base does not hold what the manifest says.
    """

    def __init__(self, folder: Path, manifest: IndexManifest, planning: Planning = AS_CALIBRATED) -> None:
        self.rows, self.dim = rows, dim = manifest.rows, manifest.dim
        self.ids = opened(folder / IDS_NAME, IdTable.open)
        if self.ids.rows != rows:
            raise IndexDamaged(folder / IDS_NAME, f"has {self.ids.rows} ids, expected {rows}")
        #: The items' embeddings.
        self.attributes = opened(folder / ATTRIBUTES_NAME, lambda path: Attributes.open(path, rows))
        self.items = open_searched(
            folder / VECTORS_NAME,
            folder / LISTS_NAME,
            (rows, dim),
            manifest.probing,
            planning,
            self.attributes,
        )
        self.vectors, self.lists, self.selections = (
            self.items.vectors,
            self.items.lists,
            self.items.selections,
        )
        #: The picture features of those that have one; None where the index holds none.
        self.pictures: PictureRows | None = None
        if manifest.pictures is not None and manifest.pictures.rows:
            self.pictures = PictureRows.open(folder, rows, manifest.pictures, planning, self.attributes)
        self.forward = Forward(self.attributes)
        self.ordered = Ordered(self.attributes)
        mapped = opened(folder / FEATURES_NAME, lambda path: np.load(path, mmap_mode="r"))
        #: Not as `numpy.memmap`, whose rows take several times as long to pick.
        self.features: F16 = np.asarray(mapped)
        shape = (rows, manifest.experts, manifest.expert_dim)
        if self.features.shape != shape or self.features.dtype != np.float16:
            found = f"{self.features.dtype} {self.features.shape}"
            raise IndexDamaged(folder / FEATURES_NAME, f"has {found}, expected float16 {shape}")
        _check_columns(folder / ATTRIBUTES_NAME, self.attributes, manifest)
        #: Where items are found by words.
        self.words = None if manifest.texts is None else SegmentWords.open(folder, manifest, manifest.texts)
        self._mapped = _Mapped(folder, manifest)

    def cut(self) -> str | None:
        """Which mapped file is no longer as long as it was, and how; takes some microseconds."""
        return self._mapped.cut()

    def search(
        self,
        query: F32,
        k: int,
        selection: Selection,
        tombstones: Tombstones | None = None,
        step: Step = unhindered,
    ) -> tuple[I64, F32]:
        """As `Searched.search`, over the items' embeddings."""
        return self.items.search(query, k, selection, tombstones, step)


class _Mapped:
    """Keeps the files open that are mapped, so that their length can be asked wherever they are now."""

    def __init__(self, folder: Path, manifest: IndexManifest) -> None:
        self._files: list[tuple[int, int, Path]] = []
        for name in manifest.file_names:
            descriptor = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC)
            self._files.append((descriptor, os.fstat(descriptor).st_size, folder / name))

    def cut(self) -> str | None:
        for descriptor, size, path in self._files:
            if (found := os.fstat(descriptor).st_size) < size:
                return f"{path} has {found} bytes, expected {size}"
        return None

    def __del__(self) -> None:
        for descriptor, _, _ in self._files:
            os.close(descriptor)


def _check_columns(path: Path, attributes: Attributes, manifest: IndexManifest) -> None:
    """Check that the manifest's types are those that the columns were written with."""
    if attributes.kinds.keys() != manifest.attributes.keys():
        raise IndexDamaged(path, "has other attributes than the manifest says")
    for name, kind in manifest.attributes.items():
        if kind not in attributes.kinds[name]:
            raise IndexDamaged(path, f"{name} is no {kind}, as the manifest says")
