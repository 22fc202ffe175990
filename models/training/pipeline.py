"""`train`: from a shop to weights, stage by stage, each resumable."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from artifacts.shop.shop import Shop
from common.files import replace_text
from common.progress import Progress, silent
from models.dataset.prepare import prepare
from models.dataset.training_data import TrainingData
from models.towers import Config, Towers
from models.towers.experts import EXPERTS
from models.training import ranks
from models.training.components import start_from_components
from models.training.curves import best_looks, plot_curves
from models.training.distilled import start_distilled
from models.training.features import PictureFeatures, load_coclicks, write_item_features
from models.training.finished import CONFIG, SUMMARY
from models.training.given_stage import given_pictures
from models.training.image_stage import train_pictures
from models.training.pretrained import Pretrained, resolve
from models.training.reuse import reuse
from models.training.run import Run, TrainError, torch_threads
from models.training.stage1 import train_experts
from models.training.stage2 import train_fusion
from models.training.taste import train_taste
from models.training.teacher import train_teacher

_log = logging.getLogger("mrse.training")


@dataclass(frozen=True)
class TrainSummary:
    """What a run trained on; ``seconds`` are those of the last call."""

    items: int
    queries: int
    positives: int
    pictures: int
    seconds: float
    #: Recall@K of the weights that were kept on searches of val, by its name; empty where there are none.
    val: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"trained on {self.items:,} items, {self.positives:,} clicks, carts and orders, "
            f"{self.queries:,} queries and {self.pictures:,} pictures in {self.seconds:,.0f} s"
        )


def train(
    shop_path: Path,
    out: Path,
    config: Config,
    progress: Progress = silent,
    *,
    resume: bool = True,
    device: str = "cpu",
    donor: Path | None = None,
    experts: Path | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> TrainSummary:
    """Train the towers on a shop.

    Within `models.training.ranks.joined` every process calls this: batches are as many times as large, and
    rank 0 alone writes and tells of progress.

    Args:
        shop_path: the shop's folder.
        out: the run folder; begun anew where it is empty.
        config: all knobs.
        progress: told the stage's name, the units done and in all (None while unknown).
        resume: go on where an interrupted run stopped; False begins anew.
        device: ``cpu`` or ``cuda``.
        donor: a finished run over the same shop whose data and picture stage would come out the same (see
            `models.training.reuse.alike`); they are linked instead of made again.
        experts: likewise, a finished run whose experts would come out the same (`same_experts`).
        stopping: asked after each step; where it says so the run is saved and `TrainStopped` raised.

    Raises:
        DataError: the shop cannot be read.
        TrainError: the run folder holds a run of another configuration or other data.
        TrainStopped: it was stopped; the same call goes on.
        PretrainedError: pretrained weights cannot be used.
    """
    began = time.monotonic()
    config, pretrained = resolve(config)
    shop = Shop.open(shop_path)
    fingerprint = shop.fingerprint()
    if not ranks.leads():
        progress, resume = silent, True
    with ranks.leader_first():
        _claim(out, config, fingerprint, resume)
        if donor is not None:
            reuse(donor, out)
        if experts is not None:
            reuse(experts, out, experts=True)
    with torch_threads(config.threads):
        with ranks.leader_first():
            prepare(shop, out / "data", config, progress, pretrained.tokenizer())
        data = TrainingData(out / "data", config)
        if not data.items:
            raise TrainError(f"{shop_path}: there are no items to train on")
        run = Run(data, out, device, progress, stopping)
        # By rank 0 alone: batch norm over a share of the batch would learn something else.
        with ranks.alone():
            pictures = _pictures(run, shop, pretrained)
        grader = None
        if config.teacher.enabled:
            with ranks.alone():
                grader = train_teacher(run, pictures).grade
        torch.manual_seed(config.seed)
        towers = Towers(config, data.vocabulary)
        if not (out / "stage1.pt").is_file():
            pretrained.fill(towers, data)
        towers.to(device)
        with ranks.leader_first():
            coclicks = load_coclicks(run)
        train_experts(run, towers, pictures, coclicks, grader)
        with ranks.leader_first():
            features = write_item_features(run, towers.item_experts, pictures)
        if config.fusion.start == "components":
            start_from_components(towers, features[0], config.fusion.whiten)
        elif config.fusion.start == "distilled":
            with ranks.alone():
                start_distilled(run, towers, features[0])
        train_fusion(run, towers, pictures, features, coclicks, grader)
        with ranks.alone():
            if config.stage2.expert_rate > 0:
                features = write_item_features(run, towers.item_experts, pictures, "taste_features")
            train_taste(run, towers, pictures, features)
    summary = TrainSummary(
        data.items,
        len(data.queries) - 1,
        len(data.item),
        len(data.picture_files),
        time.monotonic() - began,
        best_looks(out),
    )
    if ranks.leads():
        plot_curves(out)
        (out / SUMMARY).write_text(json.dumps({**summary.as_dict(), "data": fingerprint}))
    return summary


def _pictures(run: Run, shop: Shop, pretrained: Pretrained) -> PictureFeatures:
    """Stage 0, and a warning where pictures are there that will never train."""
    config, data = run.config, run.data
    if (found := len(data.picture_files)) and (untrained := _untrained(config, data)):
        _log.warning("%s pictures of the shop are never trained on: %s", f"{found:,}", untrained)
    if not config.switches.picture:
        return PictureFeatures.none(found, config.picture.feature_dim)
    return train_pictures(run, shop) if config.image.given is None else given_pictures(run, shop, pretrained)


def _untrained(config: Config, data: TrainingData) -> str:
    """Why the pictures of a shop train nothing, or empty where they do."""
    readers = [name for name in config.dimensions.experts if EXPERTS[name].reads_picture]
    if not config.switches.picture:
        return "switches.picture is off"
    if config.experts.kind == "lmoe" and not any(config.switches.expert(name) for name in readers):
        return f"no expert that reads pictures is on ({', '.join(readers)})"
    if config.image.given is None and not config.image.epochs:
        return "image.epochs is 0, so the image encoder stays as it was drawn"
    if not config.data.picture_share and not len(data.query_pictures()):
        return "no search of the log has one and data.picture_share is 0, so no query learns to read them"
    return ""


def _claim(out: Path, config: Config, fingerprint: str, resume: bool) -> None:
    """Make the run folder this run's own, or find that it is already."""
    file = out / CONFIG
    if file.is_file() and not resume:
        shutil.rmtree(out)
    own = {"fingerprint": config.fingerprint(), "data": fingerprint}
    if file.is_file():
        stored = json.loads(file.read_text())
        for key, other in (("data", "data"), ("fingerprint", "configuration")):
            if stored[key] != own[key]:
                raise TrainError(
                    f"{out} holds a run of another {other}; choose another folder, or begin anew (--fresh)"
                )
        if (before := stored["processes"]) != ranks.count():
            raise TrainError(
                f"{out} holds a run of {before} processes, whose batches are of another size than those of "
                f"{ranks.count()}; resume it with as many, or begin anew (--fresh)"
            )
        return
    if out.is_dir() and any(out.iterdir()):
        raise TrainError(f"{out} is not empty and holds no run; name another folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    content = {**own, "config": config.model_dump(mode="json"), "processes": ranks.count()}
    replace_text(file, json.dumps(content, indent=2))
