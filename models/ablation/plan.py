"""Every run of a matrix, the one place that says which runs share what, and claims of folders."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from artifacts.shop.shop import Shop
from models.ablation.matrix import Cell, MatrixError
from models.ablation.subset import subset
from models.synthetic import Recipe, make_shop
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

    Data and pictures are those of the cell that is measured against it (mostly the full model), of the same
    seed, for every run over the same shop whose configuration leaves them as they are. The experts of a cell
    that differs from it in stage 2 alone are its too. Parts of the catalogue, and shops with other dials, are
    written if need be. A cell comes after the one that is measured against it.

    Raises:
        MatrixError: a dial is swept, and the shop was not drawn.
    """
    shops = {cell.name: _shop_of(shop, out, cell) for cell in matrix}
    data = {path: Shop.open(path).fingerprint() for path in set(shops.values())}
    done: dict[tuple[str | None, int], PlannedRun] = {}
    for seed in seeds:
        for cell in matrix:
            config, path = cell.config(base, seed), shops[cell.name]
            own = done.get((cell.against, seed))
            own = own if own and own.shop == path else None
            done[cell.name, seed] = PlannedRun(
                cell,
                config,
                run_folder(out, cell, seed),
                path,
                data[path],
                split,
                pictures=own if own and alike(config, own.config) else None,
                experts=own if own and same_experts(config, own.config) else None,
            )
    return list(done.values())


def run_folder(out: Path, cell: Cell, seed: int) -> Path:
    """The folder of a run of a cell."""
    return out / "cells" / re.sub(r"[^a-z0-9.]+", "-", cell.name.lower()).strip("-") / f"seed-{seed}"


def _shop_of(shop: Path, out: Path, cell: Cell) -> Path:
    """The shop itself, a part of it, or one that is drawn with other dials."""
    if cell.dials:
        return _turned(shop, out, cell.dials)
    part = cell.part
    if part == 1:
        return shop
    target = out / "shops" / f"part-{part:g}"
    with claimed(target.parent, wait=True):
        subset(shop, target, part)
    return target


def _turned(shop: Path, out: Path, dials: Mapping[str, float]) -> Path:
    recipe = Recipe.read(shop)
    if recipe is None:
        raise MatrixError(
            f"{shop}: {', '.join(dials)} is swept by drawing shops anew, which needs one that this version's "
            "`mrse shop make` drew"
        )
    target = out / "shops" / "-".join(f"{name}-{value:g}" for name, value in dials.items())
    turned = recipe.turned(dict(dials))
    with claimed(target.parent, wait=True):
        # The recipe is written last: with it the shop is whole.
        if Recipe.read(target) != turned:
            make_shop(
                target,
                items=turned.items,
                users=turned.users,
                events=turned.events,
                seed=turned.seed,
                dials=turned.dials,
            )
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
