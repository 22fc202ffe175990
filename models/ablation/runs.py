"""One run of the matrix: trained, exported, measured, and read back."""

from __future__ import annotations

import fcntl
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from artifacts.bundle import Bundle
from artifacts.shop.shop import Shop
from models.ablation.matrix import Cell
from models.embed import embed_shop
from models.evaluation.measures import MEASURES, score
from models.evaluation.statistics import Sums
from models.evaluation.subject import Subject, open_subject
from models.towers import Config

Progress = Callable[[str, int, int | None], None]
#: Written last: a run that has it has come to its end.
RESULT = "result.json"
_SUMS, _CLAIM = "sums.npz", "claim"


@dataclass(frozen=True)
class Outcome:
    """What a finished run gave.

    ``seconds`` are those of stages 1 and 2 on this machine, NaN where a part was done before; ``parameters``
    those of experts and fusion of both towers; ``failed`` says why it has no figures, or is empty.
    """

    cell: str
    seed: int
    seconds: float
    parameters: int
    failed: str
    sums: dict[tuple[str, str], Sums]


def folder_of(out: Path, cell: Cell, seed: int) -> Path:
    """The folder of a run of a cell."""
    return out / "cells" / re.sub(r"[^a-z0-9.]+", "-", cell.name.lower()).strip("-") / f"seed-{seed}"


@contextmanager
def claimed(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """Whether this process has the folder to itself; a claim ends with its process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _CLAIM).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


def finished(folder: Path, config: Config, data: str, split: str) -> bool:
    """Whether a run has come to its end, with this configuration over this data."""
    file = folder / RESULT
    if not file.is_file():
        return False
    stored = json.loads(file.read_text())
    return bool(stored["identity"] == _identity(config, data, split))


def perform(
    folder: Path,
    cell: Cell,
    config: Config,
    shop: Path,
    *,
    data: str,
    split: str,
    donor: Path | None,
    experts: Path | None,
    device: str,
    progress: Progress,
) -> None:
    """Train, export and measure one run; resumes what was begun.

    Args:
        folder: the run's own.
        cell: what it is.
        config: its configuration.
        shop: the shop that it trains on and is measured on.
        data: the shop's fingerprint.
        split: ``val`` or ``test``; nothing is chosen by it.
        donor: a finished run whose data and picture stage serve here too, if any.
        experts: a finished run whose experts would come out the same, if any.
        device: ``cpu`` or ``cuda``.
        progress: called with the stage, done and total.

    Raises:
        DataError, TrainError: see `models.training.train`.
    """
    # Heavy, and not needed to read outcomes.
    from models.export.bundle import ExportError, export
    from models.towers.experts.single import parameters
    from models.training import train
    from models.training.run import load_finished

    folder.mkdir(parents=True, exist_ok=True)
    run = folder / "run"
    clock = _Clock(progress, begun=experts is not None or (run / "stage1.pt").is_file())
    train(shop, run, config, clock, device=device, donor=donor, experts=experts)
    result: dict[str, Any] = {
        "identity": _identity(config, data, split),
        "cell": cell.name,
        "seed": config.seed,
        "seconds": clock.seconds,
        "parameters": parameters(load_finished(run).towers),
        "failed": "",
    }
    try:
        bundle = export(run, folder / "bundles", "cell")
    except ExportError as error:
        result["failed"] = str(error)
    else:
        _embed(run, bundle, shop, folder / "embedded", config, progress)
        opened = open_subject(bundle, shop, split, embeddings=folder / "embedded", progress=progress)
        with opened as subject:
            _write_sums(folder / _SUMS, subject)
    temporary = folder / f"{RESULT}.tmp"
    temporary.write_text(json.dumps(result, indent=2))
    temporary.replace(folder / RESULT)


def _embed(run: Path, path: Path, shop_path: Path, target: Path, config: Config, progress: Progress) -> None:
    """Embed the catalogue; over frozen experts from the features that training left, pictures and all."""
    known = np.load(run / "item_features.npy", mmap_mode="r")[0] if config.stage2.expert_rate == 0 else None
    embed_shop(Shop.open(shop_path), Bundle.load(path), target, known=known, progress=progress)


def read(folder: Path) -> Outcome:
    """A finished run's outcome."""
    stored = json.loads((folder / RESULT).read_text())
    sums: dict[tuple[str, str], Sums] = {}
    if not stored["failed"]:
        with np.load(folder / _SUMS) as arrays:
            for key in arrays.files:
                slice_name, measure = key.split("|")
                above, below = arrays[key]
                sums[slice_name, measure] = Sums(above, below)
    seconds = stored["seconds"]
    return Outcome(
        stored["cell"],
        stored["seed"],
        float("nan") if seconds is None else seconds,
        stored["parameters"],
        stored["failed"],
        sums,
    )


def curve(folder: Path, stage: str, column: str) -> list[tuple[float, float]]:
    """Points (step, loss) of a run's curve; empty where there is none."""
    file = folder / "run" / f"{stage}.csv"
    if not file.is_file():
        return []
    head, *rows = (line.split(",") for line in file.read_text().splitlines())
    if column not in head:
        return []
    place = head.index(column)
    return [(float(row[0]), float(row[place])) for row in rows]


def _identity(config: Config, data: str, split: str) -> dict[str, str]:
    return {"config": config.fingerprint(), "data": data, "split": split}


def _write_sums(path: Path, subject: Subject) -> None:
    """Sums by slice and measure, so that cells can be compared query by query."""
    scores = score(subject.answers())
    arrays: dict[str, npt.NDArray[np.float64]] = {}
    for name, mask in subject.slices().items():
        for measure in MEASURES:
            sums = scores.sums(measure, mask)
            arrays[f"{name}|{measure}"] = np.stack([sums.above, sums.below])
    temporary = path.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, allow_pickle=False, **arrays)
    temporary.replace(path)


class _Clock:
    """Passes progress on and takes the time of stages 1 and 2, which is what cells differ in."""

    def __init__(self, progress: Progress, *, begun: bool) -> None:
        self._progress, self._begun = progress, begun
        self._first = self._last = 0.0

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        if stage in ("stage1", "stage2"):
            now = time.monotonic()
            self._first, self._last = self._first or now, now
        self._progress(stage, done, total)

    @property
    def seconds(self) -> float | None:
        """None where a part was done before."""
        return None if self._begun or not self._first else self._last - self._first
