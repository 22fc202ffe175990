"""A finished run read back, with samples of its data that the export's parity is measured on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

from artifacts.bundle import TextBatch
from common.arrays import I64, U8
from common.hints import absent
from models.dataset.training_data import TrainingData
from models.towers import Config, ImageEncoder, Towers
from models.training.given_stage import load_given
from models.training.image_stage import ImageStage
from models.training.loop import Stage
from models.training.run import Run, TrainError
from models.training.taste import load_taste

CONFIG, SUMMARY = "config.json", "summary.json"
_QUERIES, _ITEMS, _PICTURES = 1024, 256, 32


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


def load_finished(folder: Path) -> Finished:
    """Read a finished run back.

    Raises:
        TrainError: the run is not finished.
        ConfigError: it has an expert that is not registered.
    """
    if not (folder / SUMMARY).is_file():
        why = absent("run", folder) or "holds one that is not at its end; `mrse train` again goes on with it"
        raise TrainError(f"{folder} holds no finished run: it {why}")
    config = Config.read(json.loads((folder / CONFIG).read_text())["config"])
    data = TrainingData(folder / "data", config)
    run = Run(data, folder)
    towers = Towers(config, data.vocabulary)
    Stage("stage2", run).load(towers)
    load_taste(run, towers)
    fingerprint = json.loads((folder / SUMMARY).read_text())["data"]
    return Finished(config, towers, _image_encoder(run), data.tokenizer, _samples(run), fingerprint)


def _image_encoder(run: Run) -> nn.Module:
    given = load_given(run)
    if given is not None:
        return given
    stage = Stage("image", run)
    if not stage.checkpoint.is_file():
        # Nothing reads its features: the same weights every time, so that bundles are the same bytes.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.config.seed)
            return ImageEncoder(run.config.image, run.config.picture)
    module = ImageStage(run.config, stage.shape_of("products.weight")[0], run.data.vocabulary)
    stage.load(module)
    return module.encoder


def _samples(run: Run) -> Samples:
    data = run.data
    rng = np.random.default_rng(data.config.seed)
    queries = np.sort(rng.choice(len(data.queries), min(_QUERIES, len(data.queries)), replace=False))
    items = np.sort(rng.choice(data.items, min(_ITEMS, data.items), replace=False))
    side, depth = data.config.picture.side, data.config.dimensions.history
    stored = run.folder / "pixels.npy"
    pictures: U8 = np.zeros((0, side, side, 3), dtype=np.uint8)
    if stored.is_file():
        pictures = np.ascontiguousarray(np.load(stored, mmap_mode="r")[:_PICTURES])
    if not len(pictures):
        pictures = rng.integers(0, 256, (4, side, side, 3), dtype=np.uint8)
    histories = rng.integers(-1, len(items), (len(queries), depth))
    # Portraits of every length, none included.
    histories[np.arange(depth) >= rng.integers(0, depth + 1, (len(queries), 1))] = -1
    texts = data.text.queries([data.queries[row] for row in queries])
    return Samples(texts, data.texts.batch(items), pictures, histories)
