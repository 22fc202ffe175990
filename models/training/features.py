"""What the stages read from the run folder: features of pictures and items, and co-clicks."""

from __future__ import annotations

import numpy as np
import torch

from common.arrays import F16, F32, I64, Ints
from common.files import replacing
from common.progress import stage_progress
from models.dataset.coclick import CoClicks, count_pairs
from models.towers.lmoe import ExpertSet
from models.training.run import Run
from models.training.stored import stored_array

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

    @classmethod
    def none(cls, pictures: int, width: int) -> PictureFeatures:
        """Features of zeros for so many pictures, for a run that reads none; they take no memory."""
        nothing = np.broadcast_to(np.float32(0), (pictures, 1, width))
        return cls(nothing, nothing, np.arange(pictures))

    def for_items(self, pictures: Ints) -> F32:
        """Plain features float32 ``[B, P]``; zeros for -1."""
        result = np.zeros((len(pictures), self._plain.shape[2]), dtype=np.float32)
        has = pictures >= 0
        result[has] = self._plain[pictures[has], 0]
        return result

    def draw_views(self, count: int, rng: np.random.Generator) -> I64:
        """Which view of a picture each of so many queries is shown with, ``[B]``."""
        return rng.integers(self._views.shape[1], size=count)

    def for_queries(self, pictures: Ints, view: I64) -> F32:
        """A view of each query picture ``[B]``, the plain feature of others: ``[B, P]``; zeros for -1."""
        result = self.for_items(pictures)
        if len(self._query_pictures):
            places = np.searchsorted(self._query_pictures, pictures).clip(max=len(self._query_pictures) - 1)
            seen = self._query_pictures[places] == pictures
            result[seen] = self._views[places[seen], view[seen]]
        return result


def write_item_features(
    run: Run, experts: ExpertSet, pictures: PictureFeatures, name: str = "item_features"
) -> F16:
    """Features of all items, float16 ``[2, N, M, d]``: with their pictures, and without; memory-mapped.

    ``name`` is that of the file, which is made where it is not there.
    """
    data, dims = run.data, run.config.dimensions

    @torch.no_grad()
    def fill(target: F16, rows: slice) -> None:
        text, picture = data.texts.batch(np.arange(rows.start, rows.stop)), data.item_picture[rows]
        feature, has = pictures.for_items(picture), (picture >= 0).astype(np.float32)
        for without in range(2):
            if without and not has.any():
                target[1, rows] = target[0, rows]
                break
            mask = has * (1 - without)
            arrays = (text.input_ids, text.ngram_ids, feature * mask[:, None], mask)
            output = experts(*(torch.from_numpy(array).to(run.device) for array in arrays))
            target[without, rows] = output.cpu().numpy().astype(np.float16)

    experts.eval()
    progress = stage_progress(run.progress, "item features")
    shape = (2, data.items, len(dims.experts), dims.expert_dim)
    return stored_array(run.folder / f"{name}.npy", np.float16, shape, fill, _CHUNK, progress, axis=1)


def load_coclicks(run: Run) -> CoClicks:
    """The co-clicks of a run, as `coclicked_as_trained` counts them."""
    path, data = run.folder / "coclicks.npz", run.data
    if not path.is_file():
        found = count_pairs(*data.behaviours(), data.items, data.config.data.preprocessing.coclicks)
        with replacing(path) as written:
            np.savez(written, **vars(found))
    with np.load(path) as stored:
        return CoClicks(**stored)
