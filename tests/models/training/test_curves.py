"""Curves of a run."""

import csv
from pathlib import Path

from models.training.curves import plot_curves


def test_curves_have_the_rate_and_a_picture(run: Path, tmp_path: Path) -> None:
    for stage in ("image", "stage1", "stage2"):
        with (run / f"{stage}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert float(rows[-1]["rate"]) < float(rows[0]["rate"])
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert plot_curves(tmp_path) is None
