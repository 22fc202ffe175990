"""The curves of a run as one picture, ``curves.png`` in its folder, from the CSVs that its stages write."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

#: A column with a scale of its own, 0 to 1.
SHARE = "hnst_share"
#: What the vertical axis of a panel is, where it is no loss.
_Y = {"stage2-val": "share of val searches"}


def best_looks(run: Path) -> dict[str, float]:
    """The best value of each measure that stage 2 took on val, which its weights were kept by."""
    file = run / "stage2-val.csv"
    if not file.is_file():
        return {}
    _, *names = (rows := list(csv.reader(file.read_text().splitlines())))[0]
    return {name: max(float(row[place]) for row in rows[1:]) for place, name in enumerate(names, 1)}


def plot_curves(run: Path) -> Path | None:
    """Losses of every stage, and val Recall where it was measured: the picture, with a panel for each CSV.

    None where there is no curve or no matplotlib.
    """
    files = [run / f"{name}.csv" for name in ("image", "stage1", "distil", "stage2", "stage2-val")]
    # A header and a row are a figure, no curve.
    files = [file for file in files if file.is_file() and file.read_text().count("\n") > 2]
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    if not files:
        return None
    figure = Figure(figsize=(4.5 * len(files), 3.5), layout="constrained")
    panels = figure.subplots(1, len(files), squeeze=False)[0]
    for panel, file in zip(panels, files, strict=True):
        head, *rows = csv.reader(file.read_text().splitlines())
        columns = np.array(rows, dtype=float).T
        for name, values in zip(head[1:], columns[1:], strict=True):
            # The learning rate and beta have scales of their own; they are in the CSV.
            if name not in ("rate", "beta", SHARE):
                panel.plot(columns[0], values, label=name)
        panel.set(title=file.stem, xlabel="step", ylabel=_Y.get(file.stem, "loss"))
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
        panel.legend(fontsize="small")
        if SHARE in head:
            share = panel.twinx()
            share.plot(columns[0], columns[head.index(SHARE)], ":", color="grey")
            share.set(ylim=(0, 1), ylabel="HNST's share of the gradient (dotted)")
    path = run / "curves.png"
    figure.savefig(path, dpi=110)
    return path
