"""Runs the matrix, cell by cell and seed by seed, and writes what it says; finished runs are skipped."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.ablation.matrix import FULL, Cell, cells
from models.ablation.outcome import CellSummary, Checked, check, summarise
from models.ablation.page import write_page
from models.ablation.runs import Outcome, finished, folder_of, perform, read
from models.ablation.subset import subset
from models.data.shop import Shop
from models.towers import Config
from models.training.reuse import alike, same_experts

Progress = Callable[[str, int, int | None], None]
_TABLE, _PAGE = "ablation.json", "ablation.html"


@dataclass(frozen=True)
class Ablation:
    """What was found; ``page`` is the HTML file that was written beside ``ablation.json``."""

    cells: list[CellSummary]
    claims: list[Checked]
    page: Path
    ran: int
    skipped: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "cells": [c.as_dict() for c in self.cells],
            "claims": [c.as_dict() for c in self.claims],
            "page": str(self.page),
            "ran": self.ran,
            "skipped": self.skipped,
        }


def ablate(
    shop_path: Path,
    out: Path,
    base: Config,
    *,
    seeds: Sequence[int] = (7, 8, 9),
    groups: Sequence[str] | None = None,
    split: str = "test",
    device: str = "cpu",
    resamples: int = 1000,
    progress: Progress = lambda stage, done, total: None,
) -> Ablation:
    """Train and measure the matrix.

    Every run has a folder of its own below ``out/cells``; one that was killed goes on where it stopped, and
    a finished one is skipped. After every run the table and the page are written anew, all cells of the
    first seed coming first. Data and picture stage are made once, by the first run, and shared by all cells
    and seeds; the experts of one seed by the cells that differ from the full model in stage 2 alone.

    Args:
        shop_path: the shop.
        out: where runs, ``ablation.json`` and ``ablation.html`` go.
        base: the full model.
        seeds: of training; intervals are over seeds and queries.
        groups: of `models.ablation.matrix.GROUPS`; all where left out.
        split: what is measured on. Nothing is chosen by it.
        device: ``cpu`` or ``cuda``.
        resamples: bootstrap replicates.
        progress: called with the stage, done and total; the stage ``runs`` counts runs.

    Raises:
        ValueError: there is no such group.
        ConfigError: a cell's change does not fit the base.
        DataError, TrainError: see `models.training.train`.
    """
    matrix = cells(base, groups)
    plan = [(seed, cell, cell.config(base, seed)) for seed in seeds for cell in matrix]
    ran = skipped = 0
    for done, (seed, cell, config) in enumerate(plan):
        progress("runs", done, len(plan))
        folder = folder_of(out, cell, seed)
        shop = _shop(shop_path, out, cell)
        data = Shop.open(shop).fingerprint()
        if finished(folder, config, data, split):
            skipped += 1
            continue
        first = folder_of(out, matrix[0], seeds[0]) / "run"
        shares = done > 0 and cell.part == 1 and alike(config, matrix[0].config(base, seeds[0]))
        same = cell.name != FULL and cell.part == 1 and same_experts(config, matrix[0].config(base, seed))
        perform(
            folder,
            cell,
            config,
            shop,
            data=data,
            split=split,
            donor=first if shares else None,
            experts=folder_of(out, matrix[0], seed) / "run" if same else None,
            device=device,
            progress=progress,
        )
        ran += 1
        _write(out, matrix, base, seeds, split, resamples=100)
    progress("runs", len(plan), len(plan))
    summaries, claims = _write(out, matrix, base, seeds, split, resamples=resamples)
    return Ablation(summaries, claims, out / _PAGE, ran, skipped)


def _shop(shop_path: Path, out: Path, cell: Cell) -> Path:
    if cell.part == 1:
        return shop_path
    part = out / "shops" / f"part-{cell.part:g}"
    subset(shop_path, part, cell.part)
    return part


def _write(
    out: Path, matrix: Sequence[Cell], base: Config, seeds: Sequence[int], split: str, *, resamples: int
) -> tuple[list[CellSummary], list[Checked]]:
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    for cell in matrix:
        for seed in seeds:
            folder = folder_of(out, cell, seed)
            if (folder / "result.json").is_file():
                outcomes[cell.name].append(read(folder))
    summaries = summarise(matrix, outcomes, resamples=resamples)
    claims = check(outcomes, resamples=resamples)
    found = {"cells": [s.as_dict() for s in summaries], "claims": [c.as_dict() for c in claims]}
    content = {
        "split": split,
        "seeds": list(seeds),
        "base": base.model_dump(mode="json"),
        **found,
    }
    (out / _TABLE).write_text(json.dumps(content, indent=1))
    (out / _PAGE).write_text(write_page(out, base, summaries, claims, split, seeds), encoding="utf-8")
    return summaries, claims
