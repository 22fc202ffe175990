"""Cached features that the stages read: pictures' by picture id, and items' as they are served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from common.arrays import F16, F32, I64, Ints
from common.progress import Progress
from models.dataset.training_data import TrainingData
from models.towers.experts.lmoe import Experts

_CHUNK = 256


class PictureFeatures:
    """Picture features by id; those of query pictures also in augmented views.

    Args:
        plain: float32 ``[n, 1, P]``, memory-mapped, by picture id.
        views: float32 ``[q, 1 + V, P]``: the features of query pictures.
        query_pictures: int64 ``[q]``, sorted picture ids of ``views``.
    """

    def __init__(self, plain: F32, views: F32, query_pictures: I64) -> None:
        self._plain, self._views, self._query_pictures = plain, views, query_pictures

    def of_items(self, pictures: Ints) -> F32:
        """Plain features float32 ``[B, P]``; zeros for -1."""
        result = np.zeros((len(pictures), self._plain.shape[2]), dtype=np.float32)
        has = pictures >= 0
        result[has] = self._plain[pictures[has], 0]
        return result

    def of_queries(self, pictures: Ints, rng: np.random.Generator) -> F32:
        """A random view of each query picture, float32 ``[B, P]``; zeros for -1."""
        result = np.zeros((len(pictures), self._plain.shape[2]), dtype=np.float32)
        view = rng.integers(self._views.shape[1], size=len(pictures))
        has = pictures >= 0
        if has.any():
            result[has] = self._views[np.searchsorted(self._query_pictures, pictures[has]), view[has]]
        return result


def write_item_features(
    experts: Experts, data: TrainingData, pictures: PictureFeatures, path: Path, progress: Progress
) -> F16:
    """Features of all items, float16 ``[2, N, 3, d]``: with their pictures, and without; memory-mapped."""
    if not path.is_file():
        dims = data.config.dimensions
        temporary = path.with_suffix(".tmp")
        shape = (2, data.items, len(dims.experts), dims.expert_dim)
        target = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=shape)
        experts.eval()
        device = str(next(experts.parameters()).device)
        for start in range(0, data.items, _CHUNK):
            rows = np.arange(start, min(start + _CHUNK, data.items))
            text = data.texts.batch(rows)
            feature = pictures.of_items(data.item_picture[rows])
            has = (data.item_picture[rows] >= 0).astype(np.float32)
            ids = [torch.from_numpy(a).to(device) for a in (text.input_ids, text.ngram_ids)]
            for without in range(2):
                if without and not has.any():
                    target[1, rows] = target[0, rows]
                    break
                mask = has * (1 - without)
                pair = [torch.from_numpy(a).to(device) for a in (feature * mask[:, None], mask)]
                with torch.no_grad():
                    target[without, rows] = experts(*ids, *pair).cpu().numpy().astype(np.float16)
            progress("item features", int(rows[-1]) + 1, data.items)
        target.flush()
        temporary.replace(path)
    result: F16 = np.load(path, mmap_mode="r")
    return result
