"""Pixels of pictures, and their features, on disk by picture id, which stands for the content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from artifacts.shop.shop import Shop
from common.arrays import U8
from models.towers import ImageEncoder
from models.training.augment import as_float, augment
from models.training.run import Run
from models.training.stored import new_array

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


def write_pixels(run: Run, shop: Shop, files: list[str]) -> None:
    """Write ``pixels.npy`` of picture files, unless it is there."""
    path, side = run.folder / "pixels.npy", run.config.picture.side
    if path.is_file():
        return
    with new_array(path, np.uint8, (len(files), side, side, 3)) as target:
        for start in range(0, len(files), _CHUNK):
            part = files[start : start + _CHUNK]
            target[start : start + len(part)] = read_pixels(shop, part, side)
            run.progress("pictures", start + len(part), len(files))


def write_features(
    run: Run, shop: Shop, encoder: ImageEncoder, files: list[str], views: int, path: Path
) -> None:
    """Write float32 ``[n, 1 + views, P]``, unless it is there: the plain feature, then augmented ones."""
    if path.is_file():
        return
    config = run.config
    encoder.eval()
    shape = (len(files), 1 + views, config.picture.feature_dim)
    with new_array(path, np.float32, shape) as target, torch.no_grad():
        for start in range(0, len(files), _CHUNK):
            part = files[start : start + _CHUNK]
            pixels = torch.from_numpy(read_pixels(shop, part, config.picture.side))
            generator = torch.Generator().manual_seed(config.seed * 1_000_003 + start)
            target[start : start + len(part), 0] = encoder(pixels).numpy()
            for view in range(1, 1 + views):
                changed = augment(as_float(pixels), config.image, generator)
                target[start : start + len(part), view] = encoder.encode(changed).numpy()
            run.progress("picture features", start + len(part), len(files))
