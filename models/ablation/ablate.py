"""Runs the matrix, cell by cell and seed by seed, and writes what it says; finished runs are skipped."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.ablation.matrix import Cell, cells
from models.ablation.outcome import CellSummary, Checked, check, summarise
from models.ablation.page import write_page
from models.ablation.runs import RESULT, Outcome, folder_of, read
from models.ablation.work import Work, helped, work_off
from models.towers import Config

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
    processes: int = 1,
    resamples: int = 1000,
    progress: Progress = lambda stage, done, total: None,
) -> Ablation:
    """Train and measure the matrix.

    Every run has a folder of its own below ``out/cells``; one that was killed goes on where it stopped, and
    a finished one is skipped. Several processes, begun here or elsewhere, may share the folder: each takes
    runs that no other is at, and returns when all are done. After every run the table and the page are
    written anew, all cells of the first seed coming first. Data and picture stage are made once, by the first
    run, and shared by all cells and seeds; the experts of one seed by the cells that differ from the full
    model in stage 2 alone.

    Args:
        shop_path: the shop.
        out: where runs, ``ablation.json`` and ``ablation.html`` go.
        base: the full model.
        seeds: of training; intervals are over seeds and queries.
        groups: of `models.ablation.matrix.GROUPS`; all where left out.
        split: what is measured on. Nothing is chosen by it.
        device: ``cpu`` or ``cuda``.
        processes: that work off the runs side by side.
        resamples: bootstrap replicates.
        progress: called with the stage, done and total; the stage ``runs`` counts runs.

    Raises:
        ValueError: there is no such group.
        ConfigError: a cell's change does not fit the base.
        DataError, TrainError: see `models.training.train`.
    """
    matrix = cells(base, groups)
    work = Work(shop_path, out, base, matrix, seeds, split, device)

    def so_far() -> None:
        _write(out, matrix, base, seeds, split, resamples=100)

    with helped(work, processes - 1):
        ran, skipped = work_off(work, progress, so_far)
    summaries, claims = _write(out, matrix, base, seeds, split, resamples=resamples)
    return Ablation(summaries, claims, out / _PAGE, ran, skipped)


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
