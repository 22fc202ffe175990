"""Every run of a matrix, the one place that says which runs share what, and claims of folders."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from artifacts.shop.shop import Shop
from models.ablation.matrix import FULL, Cell
from models.ablation.subset import subset
from models.towers import Config
from models.training.reuse import alike, same_experts


@dataclass(frozen=True)
class PlannedRun:
    """One training of a cell.

    Attributes:
        shop: the shop that it trains on and is measured on.
        data: the shop's fingerprint.
        split: what it is measured on.
        pictures: the run whose data and picture stage serve here too, if any.
        experts: the run whose experts would come out the same, if any.
    """

    cell: Cell
    config: Config
    folder: Path
    shop: Path
    data: str
    split: str
    pictures: PlannedRun | None
    experts: PlannedRun | None

    @property
    def identity(self) -> dict[str, str]:
        """What a finished run must have been made from, to be this one."""
        return {"config": self.config.fingerprint(), "data": self.data, "split": self.split}

    @property
    def needs(self) -> list[PlannedRun]:
        """The runs that must be finished before this one begins."""
        return [run for run in (self.pictures, self.experts) if run is not None]


def plan_runs(
    shop: Path, out: Path, base: Config, matrix: Sequence[Cell], seeds: Sequence[int], split: str
) -> list[PlannedRun]:
    """The runs in the order in which they are taken: all cells of the first seed come first.

    Data and pictures are those of the full model of the same seed, for every run over the whole catalogue
    whose configuration leaves them as they are. The experts of a cell that differs from the full model in
    stage 2 alone are its too. Parts of the catalogue are written if need be. The
    full model is the first cell of the matrix.
    """
    shops = {cell.part: _make_part(shop, out, cell.part) for cell in matrix}
    data = {part: Shop.open(path).fingerprint() for part, path in shops.items()}
    full: dict[int, PlannedRun] = {}
    runs = []
    for seed in seeds:
        for cell in matrix:
            config, whole = cell.config(base, seed), cell.part == 1
            own = full.get(seed)
            run = PlannedRun(
                cell,
                config,
                run_folder(out, cell, seed),
                shops[cell.part],
                data[cell.part],
                split,
                pictures=own if own and whole and alike(config, own.config) else None,
                experts=own if own and whole and same_experts(config, own.config) else None,
            )
            if cell.name == FULL:
                full[seed] = run
            runs.append(run)
    return runs


def run_folder(out: Path, cell: Cell, seed: int) -> Path:
    """The folder of a run of a cell."""
    return out / "cells" / re.sub(r"[^a-z0-9.]+", "-", cell.name.lower()).strip("-") / f"seed-{seed}"


def _make_part(shop: Path, out: Path, part: float) -> Path:
    """The shop itself for the whole catalogue, else a part of it."""
    if part == 1:
        return shop
    target = out / "shops" / f"part-{part:g}"
    with claimed(target.parent, wait=True):
        subset(shop, target, part)
    return target


@contextmanager
def claimed(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """Whether this process has the folder to itself; a claim ends with its process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "claim").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
