"""A training run from shop to weights, stage by stage, each resumable; and a finished run read back."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

from artifacts.bundle import TextBatch
from artifacts.shop.shop import Shop
from common.arrays import I64, U8
from common.errors import MrseError
from common.progress import Progress
from models.dataset.coclick import CoClicks, coclicked
from models.dataset.prepare import prepare
from models.dataset.training_data import TrainingData
from models.towers import Config, ImageEncoder, Towers
from models.training import ranks
from models.training.curves import plot_curves
from models.training.features import PictureFeatures, write_item_features
from models.training.image_stage import ImageStage, Labelled, train_image_encoder
from models.training.loop import Stage
from models.training.pictures import write_features, write_pixels
from models.training.pretrained import resolve
from models.training.reuse import reuse
from models.training.stage1 import train_experts
from models.training.stage2 import train_fusion
from models.training.vit_stage import load_run_vit, pretrained_pictures

_CONFIG, _SUMMARY = "config.json", "summary.json"


class TrainError(MrseError, ValueError):
    """The run cannot be trained or read; the message says why and what to do."""


@dataclass(frozen=True)
class TrainSummary:
    """What a run trained on; ``seconds`` are those of the last call."""

    items: int
    queries: int
    positives: int
    pictures: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"trained on {self.items:,} items, {self.positives:,} clicks, carts and orders, "
            f"{self.queries:,} queries and {self.pictures:,} pictures in {self.seconds:,.0f} s"
        )


@dataclass(frozen=True)
class Samples:
    """Real inputs that parity is measured on.

    ``pictures`` uint8 ``[n, S, S, 3]``; ``histories`` int64 ``[n, K]``: rows of ``items`` that make up
    example portraits, -1 for an empty slot.
    """

    queries: TextBatch
    items: TextBatch
    pictures: U8
    histories: I64


@dataclass(frozen=True)
class Finished:
    """A finished run."""

    config: Config
    towers: Towers
    image_encoder: nn.Module
    tokenizer: Tokenizer
    samples: Samples
    data_fingerprint: str


def train(
    shop_path: Path,
    out: Path,
    config: Config,
    progress: Progress = lambda stage, done, total: None,
    *,
    resume: bool = True,
    device: str = "cpu",
    donor: Path | None = None,
    experts: Path | None = None,
) -> TrainSummary:
    """Train the towers on a shop.

    Within `models.training.ranks.joined` every process calls this: batches are as many times as large, and
    rank 0 alone writes and tells of progress.

    Args:
        shop_path: the shop's folder.
        out: the run folder; begun anew where it is empty.
        config: all knobs.
        progress: called with the stage's name, the units done and in all (None while unknown).
        resume: go on where an interrupted run stopped; False begins anew.
        device: ``cpu`` or ``cuda``.
        donor: a finished run over the same shop whose data and picture stage would come out the same (see
            `models.training.reuse.alike`); they are linked instead of made again.
        experts: likewise, a finished run whose experts would come out the same (`same_experts`).

    Raises:
        DataError: the shop cannot be read.
        TrainError: the run folder holds a run of another configuration or other data.
        PretrainedError: pretrained weights cannot be used.
    """
    began = time.monotonic()
    config, given = resolve(config)
    shop = Shop.open(shop_path)
    fingerprint = shop.fingerprint()
    if not ranks.leads():
        progress, resume = _silent, True
    with ranks.leader_first():
        _claim(out, config, fingerprint, resume)
        if donor is not None:
            reuse(donor, out)
        if experts is not None:
            reuse(experts, out, experts=True)
    with _threads(config.threads):
        data_folder = out / "data"
        with ranks.leader_first():
            prepare(shop, data_folder, config, progress, given.tokenizer())
        data = TrainingData(data_folder, config)
        if not len(data.queries) or not data.items:
            raise TrainError(f"{shop_path}: there are no items to train on")
        # By rank 0 alone: batch norm over a share of the batch would learn something else.
        with ranks.alone():
            if given.vit is None:
                pictures = _train_pictures(shop, data, out, progress, device)
            else:
                pictures = pretrained_pictures(given.vit, shop, data, out, progress, device, given.cache)
        torch.manual_seed(config.seed)
        towers = Towers(config, data.tokenizer.get_vocab_size())
        if not (out / "stage1.pt").is_file():
            given.fill(towers, data)
        towers.to(device)
        with ranks.leader_first():
            coclicks = _coclicks(shop, config, out / "coclicks.npz")
        train_experts(towers, data, pictures, coclicks, out, progress, device)
        with ranks.leader_first():
            features = write_item_features(
                towers.item_experts, data, pictures, out / "item_features.npy", progress
            )
        train_fusion(towers, shop, data, pictures, features, coclicks, out, progress, device)
    summary = TrainSummary(
        data.items, len(data.queries) - 1, len(data.item), len(data.picture_files), time.monotonic() - began
    )
    if ranks.leads():
        plot_curves(out)
        (out / _SUMMARY).write_text(json.dumps({**summary.as_dict(), "data": fingerprint}))
    return summary


def _silent(stage: str, done: int, total: int | None) -> None:
    """Progress of the ranks that do not lead."""


def load_finished(run: Path) -> Finished:
    """Read a finished run back, with samples of its data.

    Raises:
        TrainError: the run is not finished.
    """
    if not (run / _SUMMARY).is_file():
        raise TrainError(f"{run} holds no finished run: `mrse train` has not come to its end there")
    config = Config.model_validate(json.loads((run / _CONFIG).read_text())["config"])
    data = TrainingData(run / "data", config)
    towers = Towers(config, data.tokenizer.get_vocab_size())
    Stage("stage2", run, config.seed, 0).load(towers)
    stage0 = Stage("image", run, config.seed, 0)
    encoder: nn.Module
    if config.image.shape is not None:
        encoder = load_run_vit(run, config)
    else:
        encoder = ImageEncoder(config.image, config.picture)
    if stage0.checkpoint.is_file():
        products = int(stage0.shape_of("products.weight")[0])
        module = ImageStage(config, products, data.tokenizer.get_vocab_size())
        stage0.load(module)
        encoder = module.encoder
    fingerprint = json.loads((run / _SUMMARY).read_text())["data"]
    return Finished(config, towers, encoder, data.tokenizer, _samples(run, data), fingerprint)


def _samples(
    run: Path, data: TrainingData, queries: int = 1024, items: int = 256, pictures: int = 32
) -> Samples:
    rng = np.random.default_rng(data.config.seed)
    asked = np.sort(rng.choice(len(data.queries), min(queries, len(data.queries)), replace=False))
    shown = np.sort(rng.choice(data.items, min(items, data.items), replace=False))
    side, depth = data.config.picture.side, data.config.dimensions.history
    pixels: U8 = np.load(run / "pixels.npy", mmap_mode="r")
    chosen = np.ascontiguousarray(pixels[:pictures])
    if not len(chosen):
        chosen = rng.integers(0, 256, (4, side, side, 3), dtype=np.uint8)
    histories = rng.integers(-1, len(shown), (len(asked), depth))
    # Portraits of every length, none included.
    histories[np.arange(depth) >= rng.integers(0, depth + 1, (len(asked), 1))] = -1
    texts = data.text.queries([data.queries[row] for row in asked])
    return Samples(texts, data.texts.batch(shown), chosen, histories)


def _train_pictures(
    shop: Shop, data: TrainingData, out: Path, progress: Progress, device: str
) -> PictureFeatures:
    config = data.config
    labelled = Labelled(data, config.image.max_pictures, config.seed)
    used = np.unique(labelled.picture)
    pixels_path = out / "pixels.npy"
    if not pixels_path.is_file():
        files = [data.picture_files[p] for p in used]
        write_pixels(shop, files, config.picture.side, pixels_path, progress)
    pixels: U8 = np.load(pixels_path, mmap_mode="r")
    row_of = np.full(len(data.picture_files), -1, dtype=np.int64)
    row_of[used] = np.arange(len(used))
    encoder = train_image_encoder(data, row_of, pixels, labelled, out, progress, device)
    plain, views = out / "picture_features.npy", out / "query_picture_features.npy"
    write_features(encoder, shop, data.picture_files, 0, config, plain, progress)
    asked = np.unique(np.asarray(data.picture)[np.asarray(data.picture) >= 0]).astype(np.int64)
    files = [data.picture_files[p] for p in asked]
    write_features(encoder, shop, files, config.image.feature_views, config, views, progress)
    return PictureFeatures(np.load(plain, mmap_mode="r"), np.load(views, mmap_mode="r"), asked)


def _coclicks(shop: Shop, config: Config, path: Path) -> CoClicks:
    if not path.is_file():
        knobs = config.data
        found = coclicked(
            shop,
            top=knobs.coclick_top,
            held_out=knobs.held_out,
            following=knobs.coclick_following,
            cosine=knobs.coclick_cosine,
        )
        temporary = path.with_suffix(".tmp.npz")
        np.savez(temporary, indptr=found.indptr, indices=found.indices, weights=found.weights)
        temporary.replace(path)
    with np.load(path) as stored:
        return CoClicks(stored["indptr"], stored["indices"], stored["weights"])


def _claim(out: Path, config: Config, fingerprint: str, resume: bool) -> None:
    """Make the run folder this run's own, or find that it is already."""
    file = out / _CONFIG
    if file.is_file() and not resume:
        shutil.rmtree(out)
    if file.is_file():
        stored = json.loads(file.read_text())
        other = "data" if stored["data"] != fingerprint else "configuration"
        if stored["data"] != fingerprint or stored["fingerprint"] != config.fingerprint():
            raise TrainError(
                f"{out} holds a run of another {other}; choose another folder, or begin anew (--fresh)"
            )
        if (before := stored.get("processes", 1)) != ranks.count():
            raise TrainError(
                f"{out} holds a run of {before} processes, whose batches are of another size than those of "
                f"{ranks.count()}; resume it with as many, or begin anew (--fresh)"
            )
        return
    if out.is_dir() and any(out.iterdir()):
        raise TrainError(f"{out} is not empty and holds no run")
    out.mkdir(parents=True, exist_ok=True)
    content = {
        "fingerprint": config.fingerprint(),
        "data": fingerprint,
        "config": config.model_dump(mode="json"),
        "processes": ranks.count(),
    }
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2))
    temporary.replace(file)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
