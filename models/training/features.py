"""What the stages read from the run folder: features of pictures and items, and co-clicks."""

from __future__ import annotations

import numpy as np
import torch

from common.arrays import F16, F32, I64, Ints
from common.files import replacing
from models.dataset.coclick import CoClicks, count_pairs
from models.towers.lmoe import ExpertSet
from models.training.run import Run
from models.training.stored import new_array

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

    def for_items(self, pictures: Ints) -> F32:
        """Plain features float32 ``[B, P]``; zeros for -1."""
        result = np.zeros((len(pictures), self._plain.shape[2]), dtype=np.float32)
        has = pictures >= 0
        result[has] = self._plain[pictures[has], 0]
        return result

    def for_queries(self, pictures: Ints, rng: np.random.Generator) -> F32:
        """A random view of each query picture, float32 ``[B, P]``; zeros for -1."""
        result = np.zeros((len(pictures), self._plain.shape[2]), dtype=np.float32)
        view = rng.integers(self._views.shape[1], size=len(pictures))
        has = pictures >= 0
        if has.any():
            result[has] = self._views[np.searchsorted(self._query_pictures, pictures[has]), view[has]]
        return result


def write_item_features(run: Run, experts: ExpertSet, pictures: PictureFeatures) -> F16:
    """Features of all items, float16 ``[2, N, M, d]``: with their pictures, and without; memory-mapped."""
    path, data = run.folder / "item_features.npy", run.data
    if not path.is_file():
        dims = run.config.dimensions
        shape = (2, data.items, len(dims.experts), dims.expert_dim)
        experts.eval()
        with new_array(path, np.float16, shape) as target, torch.no_grad():
            for start in range(0, data.items, _CHUNK):
                rows = np.arange(start, min(start + _CHUNK, data.items))
                text = data.texts.batch(rows)
                feature = pictures.for_items(data.item_picture[rows])
                has = (data.item_picture[rows] >= 0).astype(np.float32)
                for without in range(2):
                    if without and not has.any():
                        target[1, rows] = target[0, rows]
                        break
                    mask = has * (1 - without)
                    arrays = (text.input_ids, text.ngram_ids, feature * mask[:, None], mask)
                    output = experts(*(torch.from_numpy(array).to(run.device) for array in arrays))
                    target[without, rows] = output.cpu().numpy().astype(np.float16)
                run.progress("item features", int(rows[-1]) + 1, data.items)
    result: F16 = np.load(path, mmap_mode="r")
    return result


def load_coclicks(run: Run) -> CoClicks:
    """The co-clicks of a run, as `coclicked` counts them."""
    path, data = run.folder / "coclicks.npz", run.data
    if not path.is_file():
        knobs = data.config.data
        user, item, at = data.behaviours()
        found = count_pairs(
            user,
            item,
            at,
            data.items,
            knobs.coclick_top,
            following=knobs.coclick_following,
            cosine=knobs.coclick_cosine,
        )
        with replacing(path) as written:
            np.savez(written, indptr=found.indptr, indices=found.indices, weights=found.weights)
    with np.load(path) as stored:
        return CoClicks(stored["indptr"], stored["indices"], stored["weights"])
