"""The loss curves of a training run, as training wrote them."""

from __future__ import annotations

import csv
from pathlib import Path


def read_losses(run: Path, stage: str, column: str) -> list[tuple[float, float]]:
    """Points (step, loss) of a stage; none where the run has no such curve.

    Args:
        run: the run's folder.
        stage: ``stage1`` or ``stage2``.
        column: of its CSV file, such as ``mnsce``.
    """
    file = run / f"{stage}.csv"
    if not file.is_file():
        return []
    with file.open(newline="") as stream:
        return [(float(row["step"]), float(row[column])) for row in csv.DictReader(stream) if column in row]
