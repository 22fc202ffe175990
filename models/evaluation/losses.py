"""The loss curves of a training run, as training wrote them."""

from __future__ import annotations

import csv
from pathlib import Path


def read_losses(run: Path, stage: str, column: str) -> list[tuple[float, float]]:
    """Points (step, loss) of a column of ``stage1`` or ``stage2``; none where the run has no such curve."""
    file = run / f"{stage}.csv"
    if not file.is_file():
        return []
    with file.open(newline="") as stream:
        return [(float(row["step"]), float(row[column])) for row in csv.DictReader(stream) if column in row]
