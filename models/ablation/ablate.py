"""Works off the matrix, run by run, and writes what it says; finished runs are skipped."""

from __future__ import annotations

import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from common.extensions import load_extensions
from common.files import replace_text
from common.progress import Progress, silent
from models.ablation.matrix import cells
from models.ablation.page import write_page
from models.ablation.plan import PlannedRun, claimed, plan_runs
from models.ablation.runs import RESULT, Outcome, finished, perform, read
from models.ablation.summary import CellSummary, CheckedClaim, check, summarise
from models.towers import Config

log = logging.getLogger("mrse.ablation")

_TABLE, _PAGE = "ablation.json", "ablation.html"
#: Between two looks at runs that other processes are at.
_WAIT_S = 5.0


@dataclass(frozen=True)
class Ablation:
    """What was found; ``page`` is the HTML file that was written beside ``ablation.json``."""

    cells: list[CellSummary]
    claims: list[CheckedClaim]
    page: Path
    ran: int
    skipped: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = {"page": str(self.page), "ran": self.ran, "skipped": self.skipped}
        return {**_as_dict(self.cells, self.claims), **found}


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
    progress: Progress = silent,
) -> Ablation:
    """Train and measure the matrix.

    Every run has a folder of its own below ``out/cells``; one that was killed goes on where it stopped, and
    a finished one is skipped. Several processes, begun here or elsewhere, may share the folder: each takes
    runs that no other is at, and returns when all are done. After every run the table and the page are
    written anew. Which runs share what, `models.ablation.plan` says.

    Args:
        shop_path, base: the shop and the full model.
        out: where runs, ``ablation.json`` and ``ablation.html`` go.
        seeds: of training; intervals are over seeds and queries.
        groups: of `models.ablation.matrix.GROUPS`, or names of cells; all where left out.
        split: what is measured on. Nothing is chosen by it.
        processes: that work off the runs side by side.
        progress: the stage ``runs`` counts runs.

    Raises:
        MatrixError: there is no such group, and no such cell.
        ConfigError: a cell's change does not fit the base.
        DataError, TrainError: see `models.training.train`.
    """
    matrix = cells(base, groups)
    runs = plan_runs(shop_path, out, base, matrix, seeds, split)

    def write(resamples: int) -> tuple[list[CellSummary], list[CheckedClaim]]:
        outcomes: dict[str, list[Outcome]] = defaultdict(list)
        for run in runs:
            if (run.folder / RESULT).is_file():
                outcomes[run.cell.name].append(read(run.folder))
        summaries = summarise(matrix, outcomes, resamples=resamples)
        claims = check(outcomes, resamples=resamples)
        head = {"split": split, "seeds": list(seeds), "base": base.model_dump(mode="json")}
        with claimed(out, wait=True):
            replace_text(out / _TABLE, json.dumps({**head, **_as_dict(summaries, claims)}, indent=1))
            replace_text(out / _PAGE, write_page(out, base, summaries, claims, split, seeds))
        return summaries, claims

    with _helped(runs, device, processes - 1):
        ran, skipped = _work_off(runs, device, progress, lambda: write(100))
    summaries, claims = write(resamples)
    return Ablation(summaries, claims, out / _PAGE, ran, skipped)


def _as_dict(summaries: Sequence[CellSummary], claims: Sequence[CheckedClaim]) -> dict[str, Any]:
    return {"cells": [s.as_dict() for s in summaries], "claims": [c.as_dict() for c in claims]}


def _work_off(
    runs: Sequence[PlannedRun], device: str, progress: Progress, after: Callable[[], object]
) -> tuple[int, int]:
    """Do the runs that nobody else is at, until all are done, and call ``after`` after each.

    Returns:
        Runs done here, and runs that were there already or were done elsewhere.
    """
    left, ran, skipped = list(runs), 0, 0
    while left:
        later: list[PlannedRun] = []
        for run in left:
            progress("runs", ran + skipped, len(runs))
            with claimed(run.folder) as ours:
                if ours and finished(run):
                    skipped += 1
                elif ours and all(map(finished, run.needs)):
                    perform(run, device=device, progress=progress)
                    ran += 1
                    after()
                else:
                    later.append(run)
        if len(later) == len(left):
            time.sleep(_WAIT_S)
        left = later
    progress("runs", len(runs), len(runs))
    return ran, skipped


@contextmanager
def _helped(runs: Sequence[PlannedRun], device: str, processes: int) -> Iterator[None]:
    """Have so many more processes at the work; none of them outlives the block."""
    context = get_context("spawn")
    others = [context.Process(target=_help, args=(runs, device), daemon=True) for _ in range(processes)]
    for process in others:
        process.start()
    try:
        yield
    finally:
        for process in others:
            process.terminate()
            process.join()


def _help(runs: Sequence[PlannedRun], device: str) -> None:
    # What goes wrong here goes wrong in the process that is helped too, or makes that one slower.
    try:
        load_extensions()
        _work_off(runs, device, silent, lambda: None)
    except Exception:
        log.exception("a process that helped with the matrix ended early")
