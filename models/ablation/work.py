"""The runs of a matrix, done by one process or by several that share a folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from artifacts.shop.shop import Shop
from common.extensions import load_extensions
from models.ablation.matrix import FULL, Cell
from models.ablation.runs import claimed, finished, folder_of, perform
from models.ablation.subset import subset
from models.towers import Config
from models.training.reuse import alike, same_experts

Progress = Callable[[str, int, int | None], None]
#: Between two looks at runs that other processes are at.
_WAIT_S = 5.0


@dataclass(frozen=True)
class Work:
    """All that the runs depend on, and where they go. Arguments as of `models.ablation.ablate`."""

    shop: Path
    out: Path
    base: Config
    matrix: Sequence[Cell]
    seeds: Sequence[int]
    split: str
    device: str

    def full(self, seed: int) -> tuple[Path, Config]:
        """Folder and configuration of the full model's run."""
        cell = Cell(FULL, FULL)
        return folder_of(self.out, cell, seed), cell.config(self.base, seed)


def work_off(work: Work, progress: Progress, after: Callable[[], None]) -> tuple[int, int]:
    """Do the runs that nobody else is at, until all are done.

    Args:
        work: the runs.
        progress: called with the stage, done and total; the stage ``runs`` counts runs.
        after: called after every run that was done here.

    Returns:
        Runs done here, and runs that were there already or were done elsewhere.
    """
    plan = [(seed, cell) for seed in work.seeds for cell in work.matrix]
    data: dict[Path, str] = {}
    ran = skipped = 0
    while plan:
        later: list[tuple[int, Cell]] = []
        for place, (seed, cell) in enumerate(plan):
            progress("runs", ran + skipped, ran + skipped + len(later) + len(plan) - place)
            config, folder = cell.config(work.base, seed), folder_of(work.out, cell, seed)
            shop = _shop(work.shop, work.out, cell)
            if shop not in data:
                data[shop] = Shop.open(shop).fingerprint()
            donor, experts = _given(work, cell, config)
            ready = all(finished(*run, data[shop], work.split) for run in (donor, experts) if run)
            with claimed(folder) as ours:
                if ours and finished(folder, config, data[shop], work.split):
                    skipped += 1
                    continue
                if not ours or not ready:
                    later.append((seed, cell))
                    continue
                perform(
                    folder,
                    cell,
                    config,
                    shop,
                    data=data[shop],
                    split=work.split,
                    donor=donor and donor[0] / "run",
                    experts=experts and experts[0] / "run",
                    device=work.device,
                    progress=progress,
                )
            ran += 1
            after()
        if len(later) == len(plan):
            time.sleep(_WAIT_S)
        plan = later
    progress("runs", ran + skipped, ran + skipped)
    return ran, skipped


@contextmanager
def helped(work: Work, processes: int) -> Iterator[None]:
    """Have so many more processes at the work; none of them outlives the block."""
    context = get_context("spawn")
    others = [context.Process(target=_help, args=(work,), daemon=True) for _ in range(processes)]
    for process in others:
        process.start()
    try:
        yield
    finally:
        for process in others:
            process.terminate()
            process.join()


def _help(work: Work) -> None:
    load_extensions()
    # What goes wrong here goes wrong in the process that is helped too, which then says so.
    with suppress(Exception):
        work_off(work, lambda stage, done, total: None, lambda: None)


def _given(
    work: Work, cell: Cell, config: Config
) -> tuple[tuple[Path, Config] | None, tuple[Path, Config] | None]:
    """The full model's runs that this one takes its pictures, and its experts, from."""
    if cell.part != 1:
        return None, None
    first, own = work.full(work.seeds[0]), work.full(config.seed)
    is_first = cell.name == FULL and config.seed == work.seeds[0]
    donor = first if not is_first and alike(config, first[1]) else None
    experts = own if cell.name != FULL and same_experts(config, own[1]) else None
    return donor, experts


def _shop(shop_path: Path, out: Path, cell: Cell) -> Path:
    if cell.part == 1:
        return shop_path
    part = out / "shops" / f"part-{cell.part:g}"
    with claimed(part.parent, wait=True):
        subset(shop_path, part, cell.part)
    return part
