"""The trainings of `benchmarks.sparse`: stage 1 once a seed, and stage 2 over it once an arm."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from artifacts.shop.shop import Shop
from benchmarks.report import ProgressLines
from benchmarks.sparse_log import Pairs, ServedLog, draw_log, listed
from benchmarks.sparse_measure import LOOKED, read_searches
from common.arrays import F16
from models.dataset.training_data import TrainingData
from models.evaluation.grades import JudgeGrades
from models.evaluation.statistics import Sums
from models.synthetic import Judge, make_shop
from models.synthetic.catalogue import item_id
from models.towers import Config, Towers, preset
from models.training import train
from models.training.coclick_features import coclick_features
from models.training.early_stop import EarlyStop
from models.training.encode import run_experts
from models.training.features import PictureFeatures, load_coclicks
from models.training.loop import Stage
from models.training.pretrained import resolve
from models.training.reuse import reuse
from models.training.run import Run, torch_threads
from models.training.stage1 import train_experts
from models.training.stage2 import train_fusion

#: A frozen image encoder without other views of searched photos: no loss that is compared here is about it.
_PRESET = "pretrained-image"
_COMMON: Mapping[str, Any] = {
    "stage1.uniform": 0.0,
    "image.views": 0,
    "image.cnn_side": 96,
    "data.item_picture_dropout": 0.0,
    "threads": 1,
}
_LOOKED_AT, _SEED, _ROWS = 1_000, 7, 4096
#: Of the experts that go on.
_RATE = 1e-3
_SHARE = preset(_PRESET).loss.uniform_share


@dataclass(frozen=True)
class Point:
    """A shop, and what a step sees of it: ``batch`` examples, and ``uniform`` times as many uniform items.

    ``steps`` are those of stage 1 of the model that is served, and of both stages of an arm.
    """

    items: int
    events: int
    uniform: float = 0.0
    batch: int = 256
    steps: tuple[int, int, int] = (500, 400, 150)

    @property
    def seen(self) -> float:
        """Share of the catalogue that a step sees."""
        return self.batch * (1 + self.uniform) / self.items

    @property
    def name(self) -> str:
        """For folders and tables."""
        sizes = (self.items, self.batch, f"{self.uniform:g}", *self.steps[1:])
        return "-".join(map(str, sizes))

    def config(self, seed: int, arm: Arm) -> Config:
        """The configuration of an arm."""
        sizes = {
            "seed": seed,
            "stage1.steps": self.steps[1],
            "stage1.rate": _RATE,
            "stage2.steps": self.steps[2],
            "stage1.batch": self.batch,
            "stage2.batch": self.batch,
            "stage2.uniform": self.uniform / _SHARE,
        }
        return preset(_PRESET).with_overrides({**_COMMON, **sizes, **arm.settings})


@dataclass(frozen=True)
class Arm:
    """A loss: its name, what differs from the defaults, and the share of the labels that is wrong."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    noise: float = 0.0


ALONE = Arm("MNSCE alone", {"loss.beta": 0.0})


class Served:
    """A shop, the model that is served, its log, and the held-out searches of one split.

    The model is MNSCE's alone, of one seed. An arm of any seed goes on from its experts, with a fusion
    of its own.
    """

    def __init__(self, point: Point, split: str, work: Path, most: int) -> None:
        self.point = point
        self.shop = _shop(point, work)
        self.folder = work / f"served-{point.items}-{point.events}-{point.batch}-{point.steps[0]}"
        served = {
            "loss.beta": 0.0,
            "data.item_picture_dropout": 0.1,
            "stage1.steps": point.steps[0],
            "stage1.rate": 2e-3,
            "stage2.steps": 1,
            "stage2.uniform": 0.0,
        }
        config = point.config(_SEED, Arm("", served))
        if not (self.folder / "summary.json").is_file():
            train(self.shop, self.folder, config, ProgressLines("served "))
        with torch_threads(1):
            data, towers = self._towers(self.folder, resolve(config)[0])
            judge = JudgeGrades(Judge.open(self.shop), [item_id(row) for row in range(data.items)])
            self.log = self._log(data, towers, judge)
            read = (Shop.open(self.shop), data, judge)
            self.searches = read_searches(*read, split, self.log.low[1 if split == "val" else 2], most)
            #: Looks are at val, whatever is measured in the end.
            self.looked = read_searches(*read, "val", self.log.low[1], _LOOKED_AT)

    def _towers(self, folder: Path, config: Config) -> tuple[TrainingData, Towers]:
        """Data of a folder, and towers with the experts that are served."""
        data = TrainingData(folder / "data", config)
        torch.manual_seed(config.seed)
        towers = Towers(config, data.vocabulary)
        fusion = {name: weight for name, weight in towers.state_dict().items() if "_fusion." in name}
        Stage("stage1", Run(data, self.folder)).load(towers)
        towers.load_state_dict(fusion, strict=False)
        return data, towers

    def _log(self, data: TrainingData, towers: Towers, judge: JudgeGrades) -> ServedLog:
        """What the experts list, made once."""
        path = self.folder / "listed.npy"
        if not path.is_file():
            features = np.load(self.folder / "item_features.npy", mmap_mode="r")
            np.save(path, listed(data, towers, features[0]))
        return draw_log(data, judge, np.load(path), _SEED)

    def labels(self) -> dict[str, int]:
        """How many labels the log has for what."""
        return {
            name: len(pairs.query) for name, pairs in zip(("train", "val", "test"), self.log.low, strict=True)
        }

    def run(self, arm: Arm, seed: int, every: int, folder: Path) -> Trained:
        """Train an arm, or read what it gave."""
        if not finished(folder):
            config = resolve(self.point.config(seed, arm))[0]
            self._prepare(folder, self.log.taught(arm.noise, seed))
            with torch_threads(1):
                data, towers = self._towers(folder, config)
                run = Run(data, folder, progress=ProgressLines(f"{self.point.name} {seed} {arm.name} "))
                pictures, coclicks = _pictures(self.folder, data), load_coclicks(run)
                train_experts(run, towers, pictures, coclicks)
                features = _catalogue(run, towers, pictures)
                catalogue = features[0], coclick_features(run, coclicks, features[0])
                looked = self.looked.by(data, towers, features[0])
                begins = looked.look(towers, *catalogue)
                looks = _Looks(config, every, lambda: looked.look(towers, *catalogue))
                train_fusion(run, towers, pictures, features, coclicks, looks=looks)
                found = self.searches.by(data, towers, features[0]).measure(towers, *catalogue)
            (folder / "begins").write_text(repr(begins))
            arrays: dict[str, Any] = {n: np.stack([sums.total, sums.weight]) for n, sums in found.items()}
            np.savez(folder / "sums.npz", **arrays)
            for name in ("coclick_features.npy", "stage1.pt"):
                (folder / name).unlink()
        return Trained.read(folder)

    def _prepare(self, folder: Path, low: Pairs) -> None:
        """The folder of a run over the same data, but with labels of its own."""
        (folder / "data").mkdir(parents=True, exist_ok=True)
        for pattern in ("stage?.pt", "coclick_features.npy", "labels-stage?.npy"):
            for file in folder.glob(pattern):
                file.unlink()
        low.write(folder / "data")
        reuse(self.folder, folder)


@torch.no_grad()
def _catalogue(run: Run, towers: Towers, pictures: PictureFeatures) -> F16:
    """Features of all items, float16 ``[2, N, M, d]``; no arm leaves pictures out, so both are the same."""
    towers.eval()
    parts = []
    for start in range(0, run.data.items, _ROWS):
        rows = np.arange(start, min(start + _ROWS, run.data.items))
        picture = run.data.item_picture[rows]
        text, has = run.data.texts.batch(rows), (picture >= 0).astype(np.float32)
        found = run_experts(towers.item_experts, text, pictures.for_items(picture), has, "cpu")
        parts.append(found.numpy().astype(np.float16))
        run.progress("item features", start + len(rows), run.data.items)
    every = np.concatenate(parts)
    return np.broadcast_to(every, (2, *every.shape))


@dataclass(frozen=True)
class Trained:
    """What an arm gave: sums by measure and query, and `LOOKED` on val by step."""

    sums: dict[str, Sums]
    looks: dict[int, float]

    @classmethod
    def read(cls, folder: Path) -> Trained:
        """From its folder."""
        with np.load(folder / "sums.npz") as stored:
            sums = {name: Sums(*stored[name]) for name in stored.files}
        rows = list(csv.DictReader((folder / "stage2-val.csv").read_text().splitlines()))
        begins = float((folder / "begins").read_text())
        return cls(sums, {0: begins} | {int(row["step"]): float(row[LOOKED]) for row in rows})


class _Looks(EarlyStop):
    """Looks that keep nothing and end nothing: the weights are those of the last step."""

    def __init__(self, config: Config, every: int, look: Any) -> None:
        super().__init__(config.validation.model_copy(update={"every": every, "patience": 0}), look)
        self.measure = LOOKED

    def keep_best(self, module: torch.nn.Module) -> None:
        """The last weights stay."""


def finished(folder: Path) -> bool:
    """Whether an arm has come to its end."""
    return (folder / "sums.npz").is_file()


def _pictures(folder: Path, data: TrainingData) -> PictureFeatures:
    """What the frozen encoder said of all pictures."""
    features, asked = np.load(folder / "picture_features.npy", mmap_mode="r"), data.query_pictures()
    return PictureFeatures(features, features[asked], asked)


def _shop(point: Point, work: Path) -> Path:
    shop = work / f"shop-{point.items}-{point.events}"
    if not (shop / "synthetic.json").is_file():
        make_shop(shop, items=point.items, events=point.events, seed=7)
    return shop


def steps_to(looks: Mapping[int, float], goal: float) -> float:
    """The step at which looks first reach a goal, between two of them by a line; NaN where they never do."""
    before, was = 0, goal
    for step, value in sorted(looks.items()):
        if value >= goal:
            return before + (step - before) * (goal - was) / (value - was) if value > was else float(step)
        before, was = step, value
    return float("nan")
