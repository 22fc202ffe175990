"""The lists that rows are clustered into: where each begins, its mean and its spread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from index.embedded.vectors import I64
from index.port import F32


@dataclass(frozen=True, slots=True)
class Lists:
    """``starts`` int64 ``[lists + 1]``, ``means`` float32 ``[lists, dim]``, ``spreads`` float32 ``[lists]``.

    ``spreads`` is the standard deviation of a list's vectors along a direction, over all directions. No
    list is empty. A flat index is one list.
    """

    starts: I64
    means: F32
    spreads: F32

    @property
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
        except Exception as error:  # numpy and zipfile raise what they like on garbage
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
