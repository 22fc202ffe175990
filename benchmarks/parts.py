"""What each part of the model is worth: the full model against one that lacks it, and each loss alone.

``python -m benchmarks.parts --out FOLDER --json parts.json``: the cells of `mrse ablate` that lack a part or
a loss, on the demo shop (4,000 items), preset ``demo``, three seeds, measured once on the test split: 27
trainings, two hours on one core; ``--jobs 2`` for two. It resumes in ``--out``. Intervals are of 95%, over
queries and seeds. ``--quick`` trains the preset ``tiny`` on a small shop with one seed: it shows that it
works.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks.report import Claim, ProgressLines, arguments, finish
from models.ablation import Ablation, ablate
from models.synthetic import make_shop
from models.towers.experts import EXPERTS
from models.towers.presets import preset

LOSSES = ("mnsce only", "hnst only")
CELLS = ("no history", *(f"no {name}" for name in EXPERTS), "no gate", "no co-clicks", *LOSSES)
SLICES = ("all", "text", "broad", "narrow", "picture only", "taste", "cold users")
_ITEMS, _SEED, _SEEDS = 4000, 7, 3


def main() -> int:
    """Train, measure, print, write."""
    options = arguments(
        "What each part is worth",
        [
            ("--out", {"type": Path, "required": True, "help": "folder of the shop and the runs"}),
            ("--jobs", {"type": int, "default": 1, "help": "trainings side by side"}),
        ],
    )
    shop = options.out / "shop"
    if not (shop / "shop.toml").is_file():
        make_shop(shop, items=_ITEMS // (10 if options.quick else 1), seed=_SEED)
    base = preset("tiny" if options.quick else "demo").with_overrides({"threads": 1})
    seeds = tuple(base.seed + place for place in range(1 if options.quick else _SEEDS))
    found = ablate(
        shop,
        options.out / "runs",
        base,
        seeds=seeds,
        groups=CELLS,
        processes=options.jobs,
        resamples=200 if options.quick else 2000,
        progress=ProgressLines(),
    )
    setting = {"preset": base.preset, "items": _ITEMS, "seeds": list(seeds), "split": "test"}
    runs = {**setting, "cells": told(found)}
    return finish(claims(found), runs, options.json, setting="quick" if options.quick else "full")


def told(found: Ablation) -> list[dict[str, Any]]:
    """Each cell's figures, and by how much the full model is above it, by slice and measure."""
    cells = []
    for summary in found.cells:
        whole = summary.as_dict()
        for key in ("values", "full_less_it"):
            whole[key] = {at: figure for at, figure in whole[key].items() if at.partition("|")[0] in SLICES}
        cells.append(whole)
    return cells


def claims(found: Ablation) -> list[Claim]:
    """That each part earns its place on typed queries: the lower ends of what the full model gains by it.

    A part that earns nothing is a claim that is missed, by its name.
    """
    return [
        Claim(
            f"full less {summary.cell.name}, {measure}: lower bound", round(gain.low, 4), "> 0", gain.low > 0
        )
        for summary in found.cells
        for measure in ("R-prec@10", "Recall@10")
        if (gain := summary.gaps.get(("text", measure))) is not None and gain.low == gain.low
    ]


if __name__ == "__main__":
    sys.exit(main())
