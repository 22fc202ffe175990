"""Large arrays of a run folder, made part by part without holding them in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from common.files import replacing
from common.progress import StageProgress, silent_stage


def stored_array(
    path: Path,
    dtype: npt.DTypeLike,
    shape: tuple[int, ...],
    fill: Callable[[npt.NDArray[Any], slice], None],
    chunk: int,
    progress: StageProgress = silent_stage,
    *,
    axis: int = 0,
) -> npt.NDArray[Any]:
    """The array at ``path``, memory-mapped. Where it is not there, ``fill`` first writes it from zeros on.

    ``fill`` takes the array and the next ``chunk`` rows along ``axis``.
    """
    if not path.is_file():
        with replacing(path) as written:
            array = np.lib.format.open_memmap(written, mode="w+", dtype=dtype, shape=shape)
            for start in range(0, shape[axis], chunk):
                end = min(start + chunk, shape[axis])
                fill(array, slice(start, end))
                progress(end, shape[axis])
            array.flush()
    return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]
