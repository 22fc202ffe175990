"""Pixels of pictures, and their features, on disk by picture id, which stands for the content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from artifacts.shop.shop import Shop
from common.arrays import F32, U8
from common.progress import stage_progress
from models.towers.image_encoder import ImageEncoder, as_float
from models.training.augment import augment
from models.training.run import Run
from models.training.stored import stored_array

_CHUNK = 256


def read_pixels(shop: Shop, files: list[str], side: int) -> U8:
    """uint8 ``[n, S, S, 3]`` of picture files.

    Raises:
        DataError: a file is missing or no picture.
    """
    result = np.empty((len(files), side, side, 3), dtype=np.uint8)
    for place, file in enumerate(files):
        result[place] = shop.pixels(file, side)
    return result


def write_pixels(run: Run, shop: Shop, files: list[str]) -> U8:
    """Pixels of picture files, uint8 ``[n, S, S, 3]``, as ``pixels.npy`` in the run folder."""
    side = run.config.picture.side

    def fill(target: U8, rows: slice) -> None:
        target[rows] = read_pixels(shop, files[rows], side)

    progress = stage_progress(run.progress, "pictures")
    shape = (len(files), side, side, 3)
    return stored_array(run.folder / "pixels.npy", np.uint8, shape, fill, _CHUNK, progress)


def write_features(
    run: Run, shop: Shop, encoder: ImageEncoder, files: list[str], views: int, path: Path
) -> F32:
    """The plain feature of each picture, then augmented ones: float32 ``[n, 1 + views, P]``."""
    config = run.config

    @torch.no_grad()
    def fill(target: F32, rows: slice) -> None:
        pixels = torch.from_numpy(read_pixels(shop, files[rows], config.picture.side))
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + rows.start)
        target[rows, 0] = encoder(pixels).numpy()
        for view in range(1, 1 + views):
            changed = augment(as_float(pixels), config.image, generator)
            target[rows, view] = encoder.encode(changed).numpy()

    encoder.eval()
    progress = stage_progress(run.progress, "picture features")
    shape = (len(files), 1 + views, config.picture.feature_dim)
    return stored_array(path, np.float32, shape, fill, _CHUNK, progress)
