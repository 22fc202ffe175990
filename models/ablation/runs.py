"""One run of the matrix: trained, exported, measured, and read back."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from artifacts.bundle import Bundle
from artifacts.shop.shop import Shop
from common.files import replace_text, replacing
from common.progress import Progress
from models.ablation.plan import PlannedRun
from models.embed import embed_shop
from models.evaluation.measures import MEASURES, score
from models.evaluation.statistics import Sums
from models.evaluation.subject import open_subject

#: Written last: a run that has it has come to its end.
RESULT = "result.json"
_SUMS = "sums.npz"


@dataclass(frozen=True)
class Outcome:
    """What a finished run gave.

    Attributes:
        cell: name of its cell.
        seed: of its training.
        seconds: those of stages 1 and 2 on this machine, None where a part was done before.
        parameters: those of experts and fusion of both towers.
        failed: why it has no figures, or empty.
        sums: by slice and measure.
    """

    cell: str
    seed: int
    seconds: float | None
    parameters: int
    failed: str
    sums: dict[tuple[str, str], Sums] = field(default_factory=dict)


def finished(run: PlannedRun) -> bool:
    """Whether a run has come to its end, with this configuration over this data."""
    file = run.folder / RESULT
    return file.is_file() and bool(json.loads(file.read_text())["identity"] == run.identity)


def perform(run: PlannedRun, *, device: str, progress: Progress) -> None:
    """Train, export and measure one run, those that it needs being finished; resumes what was begun.

    Raises:
        DataError, TrainError: see `models.training.train`.
    """
    # Heavy, and not needed to read outcomes.
    from models.export.bundle import ExportError, export
    from models.towers.single import parameters
    from models.training import load_finished, train

    trained = run.folder / "run"
    begun = run.experts is not None or (trained / "stage1.pt").is_file()
    times: list[float] = []

    def timed(stage: str, done: int, total: int | None) -> None:
        """Note the first and the last time of stages 1 and 2, which is what cells differ in."""
        if stage in ("stage1", "stage2"):
            times[1:] = [time.monotonic()]
        progress(stage, done, total)

    donor, experts = (need.folder / "run" if need else None for need in (run.pictures, run.experts))
    train(run.shop, trained, run.config, timed, device=device, donor=donor, experts=experts)
    failed = ""
    try:
        bundle = export(trained, run.folder / "bundles", "cell")
    except ExportError as error:
        failed = str(error)
    else:
        _measure(run, bundle, progress)
    size = parameters(load_finished(trained).towers)
    seconds = None if begun or not times else times[-1] - times[0]
    outcome = Outcome(run.cell.name, run.config.seed, seconds, size, failed)
    stored = {"identity": run.identity, **{key: v for key, v in vars(outcome).items() if key != "sums"}}
    replace_text(run.folder / RESULT, json.dumps(stored, indent=2))


def _measure(run: PlannedRun, bundle: Path, progress: Progress) -> None:
    """Write the sums by slice and measure, so that cells can be compared query by query."""
    embeddings = run.folder / "embedded"
    # Over frozen experts the item features are those that training left, pictures and all.
    features = run.folder / "run" / "item_features.npy"
    known = np.load(features, mmap_mode="r")[0] if run.config.stage2.expert_rate == 0 else None
    embed_shop(Shop.open(run.shop), Bundle.load(bundle), embeddings, known=known, progress=progress)
    arrays: dict[str, Any] = {}
    with open_subject(bundle, run.shop, run.split, embeddings=embeddings, progress=progress) as subject:
        scores = score(subject.answers())
        for name, mask in subject.slices().items():
            for measure in MEASURES:
                sums = scores.sums(measure, mask)
                arrays[f"{name}|{measure}"] = np.stack([sums.total, sums.weight])
    with replacing(run.folder / _SUMS) as path:
        np.savez_compressed(path, **arrays)


def read(folder: Path) -> Outcome:
    """A finished run's outcome."""
    stored = json.loads((folder / RESULT).read_text())
    del stored["identity"]
    outcome = Outcome(**stored)
    if not outcome.failed:
        with np.load(folder / _SUMS) as arrays:
            for key in arrays.files:
                slice_name, measure = key.split("|")
                outcome.sums[slice_name, measure] = Sums(*arrays[key])
    return outcome
