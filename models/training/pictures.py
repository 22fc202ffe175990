"""U8 of pictures, and their features: cached on disk by picture id, which stands for a content hash."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from artifacts.shop.shop import Shop
from common.arrays import U8
from common.progress import Progress
from models.towers import ImageEncoder
from models.towers.config import Config
from models.training.augment import as_float, augment

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


def write_pixels(shop: Shop, files: list[str], side: int, path: Path, progress: Progress) -> None:
    """Write the pixels of the files that train the encoder to a memory-mapped array."""
    temporary = path.with_suffix(".tmp")
    shape = (len(files), side, side, 3)
    target = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
    for start in range(0, len(files), _CHUNK):
        part = files[start : start + _CHUNK]
        target[start : start + len(part)] = read_pixels(shop, part, side)
        progress("pictures", start + len(part), len(files))
    target.flush()
    temporary.replace(path)


def write_features(
    encoder: ImageEncoder,
    shop: Shop,
    files: list[str],
    views: int,
    config: Config,
    path: Path,
    progress: Progress,
) -> None:
    """Write float32 ``[n, 1 + views, P]``: the plain feature of each picture, then augmented ones."""
    if path.is_file():
        return
    encoder.eval()
    temporary = path.with_suffix(".tmp")
    shape = (len(files), 1 + views, config.picture.feature_dim)
    target = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
    for start in range(0, len(files), _CHUNK):
        part = files[start : start + _CHUNK]
        pixels = torch.from_numpy(read_pixels(shop, part, config.picture.side))
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + start)
        with torch.no_grad():
            target[start : start + len(part), 0] = encoder(pixels).numpy()
            for view in range(1, 1 + views):
                changed = augment(as_float(pixels), config.image, generator)
                target[start : start + len(part), view] = encoder.encode(changed).numpy()
        progress("picture features", start + len(part), len(files))
    target.flush()
    temporary.replace(path)
