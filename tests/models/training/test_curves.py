"""Curves of a run."""

import csv
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from models.training.curves import best_looks, plot_curves


def test_curves_have_the_rate_and_a_picture(run: Path, tmp_path: Path) -> None:
    for stage in ("image", "stage1", "stage2"):
        with (run / f"{stage}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert float(rows[-1]["rate"]) < float(rows[0]["rate"])
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert plot_curves(tmp_path) is None


def test_axes_say_what_they_are_and_begin_at_nought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stage2.csv").write_text("step,loss,rate\n0,3,1\n10,2,1\n")
    (tmp_path / "stage2-val.csv").write_text("step,recall@100\n10,0.4\n20,0.6\n")
    (tmp_path / "image.csv").write_text("step,loss\n0,3\n")  # a figure is no curve
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    plot_curves(tmp_path)
    axes = [(a.get_title(), a.get_xlabel(), a.get_ylabel(), a.get_ylim()[0]) for a in drawn[0].axes]
    assert axes == [("stage2", "step", "loss", 0.0), ("stage2-val", "step", "share of val searches", 0.0)]
    assert best_looks(tmp_path) == {"recall@100": 0.6}
