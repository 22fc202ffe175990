"""The picture features of a base, in rows of their own: only some items have a picture, and features cluster
otherwise than embeddings do. Filters and tombstones are those of the items.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artifacts.embeddings import LENGTH_TOLERANCE
from common.arrays import F16, I32, I64, Bool
from index.embedded.manifest import (
    PICTURE_LISTS_NAME,
    PICTURE_ROWS_NAME,
    PICTURES_NAME,
    IndexDamaged,
    Pictures,
)
from index.embedded.searched import Planning, Searched, open_searched, opened
from index.embedded.selection import Masks
from index.filters import Filter


@dataclass(frozen=True, slots=True)
class _OfPictures:
    """The masks of the items, in the rows of the pictures."""

    items: Masks
    rows: I64

    def mask(self, accepted: Filter) -> Bool:
        """Which rows a filter accepts: bool ``[rows]``."""
        found: Bool = self.items.mask(accepted)[self.rows]
        return found


class PictureRows:
    """Picture features float16 ``[rows, picture_dim]``, and which item each is of. For any thread."""

    def __init__(self, searched: Searched, items: I64, of_item: I32) -> None:
        #: How they are searched.
        self.searched = searched
        #: Row of the item of each picture feature: int64 ``[rows]``.
        self.items = items
        #: Row of the picture feature of each item, -1 where it has none: int32 ``[items]``.
        self._of_item = of_item

    @classmethod
    def open(
        cls, folder: Path, items: int, manifest: Pictures, planning: Planning, masks: Masks
    ) -> PictureRows:
        """Map the files of a base's pictures.

        Args:
            folder: of the base.
            items: rows of the base.
            manifest: what the base says of its pictures.
            planning: when searches are exact.
            masks: of the filters, in the base's rows.

        Raises:
            IndexDamaged: a file does not hold what the manifest says.
        """
        path = folder / PICTURE_ROWS_NAME
        rows = opened(path, lambda path: np.load(path, mmap_mode="r", allow_pickle=False))
        if rows.shape != (manifest.rows,) or rows.dtype != np.int64:
            raise IndexDamaged(path, f"has {rows.dtype} {rows.shape}, expected int64 ({manifest.rows},)")
        of_item = np.full(items, -1, dtype=np.int32)
        if ((rows < 0) | (rows >= items)).any():
            raise IndexDamaged(path, f"names rows that are not among the {items} of the base")
        of_item[rows] = np.arange(len(rows), dtype=np.int32)
        if np.count_nonzero(of_item >= 0) != len(rows):
            raise IndexDamaged(path, "names a row twice")
        searched = open_searched(
            folder / PICTURES_NAME,
            folder / PICTURE_LISTS_NAME,
            (manifest.rows, manifest.dim),
            manifest.probing,
            planning,
            _OfPictures(masks, rows),
        )
        return cls(searched, rows, of_item)

    @property
    def rows(self) -> int:
        """How many items have a picture."""
        return len(self.items)

    def row_of(self, item: int) -> int | None:
        """The row of an item's picture feature; None where it has no picture."""
        row = int(self._of_item[item])
        return row if row >= 0 else None

    def of_items(self, items: I64) -> Iterator[F16 | None]:
        """The picture feature float16 ``[picture_dim]`` of each item; None where it has no picture."""
        for row in self._of_item[items].tolist():
            yield self.searched.vectors.codes[row] if row >= 0 else None

    def dense(self, items: I64) -> F16:
        """Picture features float16 ``[len(items), picture_dim]``, zeros for items without a picture."""
        rows = self._of_item[items]
        chunk = np.zeros((len(items), self.searched.vectors.dim), dtype=np.float16)
        has = rows >= 0
        chunk[has] = self.searched.vectors.codes[rows[has]]
        return chunk


def pictured(chunk: F16) -> Bool:
    """Which rows of picture features are no zeros: bool ``[rows]``."""
    return np.asarray(np.linalg.norm(chunk.astype(np.float32), axis=1) > LENGTH_TOLERANCE)
