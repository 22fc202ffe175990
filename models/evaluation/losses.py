"""The loss curves of a training run, as training wrote them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

#: Points of a curve whose median stands for the middle one.
_SMOOTH = 5


def steps_to(points: list[tuple[float, float]], share: float = 0.95) -> float:
    """The step at which a curve has come so far of the way from its first value to its end; NaN of too few.

    The end is the mean over the last fifth; single points are noise, so medians of five are looked at.
    """
    if len(points) < 2 * _SMOOTH:
        return float("nan")
    steps, values = np.array(points).T
    smooth = np.median(np.lib.stride_tricks.sliding_window_view(values, _SMOOTH), axis=1)
    end = values[-(len(values) // 5) :].mean()
    if values[0] == end:
        return float(steps[0])
    way = (smooth - values[0]) / (end - values[0])
    return float(steps[_SMOOTH // 2 + int(np.argmax(way >= min(share, way.max())))])


def read_losses(run: Path, stage: str, column: str) -> list[tuple[float, float]]:
    """Points (step, loss) of a column of ``stage1`` or ``stage2``; none where the run has no such curve."""
    file = run / f"{stage}.csv"
    if not file.is_file():
        return []
    with file.open(newline="") as stream:
        return [(float(row["step"]), float(row[column])) for row in csv.DictReader(stream) if column in row]
