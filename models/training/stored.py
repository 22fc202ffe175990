"""Large arrays of a run folder, written row by row without holding them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from common.files import replacing


@contextmanager
def new_array(path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> Iterator[npt.NDArray[np.generic]]:
    """An array of zeros on disk to fill; it is at ``path`` when the block has ended."""
    with replacing(path) as written:
        array = np.lib.format.open_memmap(written, mode="w+", dtype=dtype, shape=shape)
        yield array
        array.flush()
