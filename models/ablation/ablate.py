"""Runs the matrix, cell by cell and seed by seed, and writes what it says; finished runs are skipped."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.ablation.matrix import FULL, Cell, cells
from models.ablation.outcome import CellSummary, Checked, check, summarise
from models.ablation.page import write_page
from models.ablation.runs import RESULT, Outcome, claimed, finished, folder_of, perform, read
from models.ablation.subset import subset
from models.data.shop import Shop
from models.towers import Config
from models.training.reuse import alike, same_experts

Progress = Callable[[str, int, int | None], None]
_TABLE, _PAGE = "ablation.json", "ablation.html"
#: Between two looks at runs that other processes are at.
_WAIT_S = 5.0


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
    a finished one is skipped. Several processes may be given the same folder: each takes runs that no other
    is at, and returns when all are done. After every run the table and the page are written anew, all cells
    of the first seed coming first. Data and picture stage are made once, by the first run, and shared by all
    cells and seeds; the experts of one seed by the cells that differ from the full model in stage 2 alone.

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
    plan = [(seed, cell) for seed in seeds for cell in matrix]
    data: dict[Path, str] = {}
    ran = skipped = 0
    while plan:
        later: list[tuple[int, Cell]] = []
        for place, (seed, cell) in enumerate(plan):
            progress("runs", ran + skipped, ran + skipped + len(later) + len(plan) - place)
            config, folder = cell.config(base, seed), folder_of(out, cell, seed)
            shop = _shop(shop_path, out, cell)
            if shop not in data:
                data[shop] = Shop.open(shop).fingerprint()
            donor, experts = _given(out, cell, config, base, seeds[0])
            with claimed(folder) as ours:
                if ours and finished(folder, config, data[shop], split):
                    skipped += 1
                    continue
                if not ours or not all((run / RESULT).is_file() for run in (donor, experts) if run):
                    later.append((seed, cell))
                    continue
                perform(
                    folder,
                    cell,
                    config,
                    shop,
                    data=data[shop],
                    split=split,
                    donor=donor and donor / "run",
                    experts=experts and experts / "run",
                    device=device,
                    progress=progress,
                )
            ran += 1
            _write(out, matrix, base, seeds, split, resamples=100)
        if len(later) == len(plan):
            time.sleep(_WAIT_S)
        plan = later
    progress("runs", ran + skipped, ran + skipped)
    summaries, claims = _write(out, matrix, base, seeds, split, resamples=resamples)
    return Ablation(summaries, claims, out / _PAGE, ran, skipped)


def _given(
    out: Path, cell: Cell, config: Config, base: Config, first: int
) -> tuple[Path | None, Path | None]:
    """The full model's runs that this one takes its pictures, and its experts, from."""
    if cell.part != 1:
        return None, None
    full = Cell(FULL, FULL)
    own = full.config(base, config.seed)
    is_first = cell.name == FULL and config.seed == first
    donor = folder_of(out, full, first) if not is_first and alike(config, full.config(base, first)) else None
    experts = folder_of(out, full, config.seed) if cell.name != FULL and same_experts(config, own) else None
    return donor, experts


def _shop(shop_path: Path, out: Path, cell: Cell) -> Path:
    if cell.part == 1:
        return shop_path
    part = out / "shops" / f"part-{cell.part:g}"
    with claimed(part.parent, wait=True):
        subset(shop_path, part, cell.part)
    return part


def _write(
    out: Path, matrix: Sequence[Cell], base: Config, seeds: Sequence[int], split: str, *, resamples: int
) -> tuple[list[CellSummary], list[Checked]]:
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    for cell in matrix:
        for seed in seeds:
            folder = folder_of(out, cell, seed)
            if (folder / RESULT).is_file():
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
    _replace(out / _TABLE, json.dumps(content, indent=1))
    _replace(out / _PAGE, write_page(out, base, summaries, claims, split, seeds))
    return summaries, claims


def _replace(path: Path, content: str) -> None:
    """Write a file that other processes may be writing too; the last one stays, whole."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(content, encoding="utf-8")
    temporary.replace(path)
