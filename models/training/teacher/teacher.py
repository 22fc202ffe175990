"""A trained teacher: grades of pairs, and how well it tells answers from near misses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from common.arrays import F32, I64
from models.dataset.training_data import TrainingData
from models.towers import Config
from models.training.encode import to_device
from models.training.features import PictureFeatures
from models.training.loop import Stage
from models.training.run import Run, TrainError
from models.training.teacher.cross_encoder import CrossEncoder

#: Pairs that are graded together, and pairs that are sorted by length before.
_CHUNK, _SORTED = 512, 65_536
FIGURES = "teacher.json"


class TeacherError(TrainError):
    """There is no teacher, or it is of another shop; the message says which."""


class Teacher:
    """Grades pairs of a run's queries, or of any words, and items of its shop.

    Args:
        module: trained, in evaluation mode.
        data: of the run.
        pictures: features of the items' pictures.
        device: where it runs.
    """

    def __init__(
        self, module: CrossEncoder, data: TrainingData, pictures: PictureFeatures, device: str
    ) -> None:
        self._module, self._data, self._pictures, self._device = module, data, pictures, device
        self._queries: I64 | None = None

    def grade(self, query: I64, item: I64) -> F32:
        """Float32 ``[n]``, 0 to 1, of rows of the run's distinct queries and of its items, int64 ``[n]``."""
        if self._queries is None:
            self._queries = self._data.text.queries(self._data.queries).input_ids
        return self._graded(self._queries, query, item)

    def grade_texts(self, texts: list[str], query: I64, item: I64) -> F32:
        """The same for other words: ``query`` are rows of ``texts``."""
        return self._graded(self._data.text.queries(texts).input_ids, query, item)

    def _graded(self, ids: I64, query: I64, item: I64) -> F32:
        result = np.zeros(len(query), dtype=np.float32)
        lengths = (ids > 0).sum(axis=1)
        for start in range(0, len(query), _SORTED):
            rows = np.arange(start, min(start + _SORTED, len(query)))
            order = rows[np.argsort(lengths[query[rows]], kind="stable")]
            for at in range(0, len(order), _CHUNK):
                part = order[at : at + _CHUNK]
                with torch.no_grad():
                    inputs = pair_inputs(self._data, self._pictures, ids, query[part], item[part])
                    logits = self._module(*(to_device(each, self._device) for each in inputs))
                result[part] = torch.sigmoid(logits).cpu().numpy()
        return result


def pair_inputs(
    data: TrainingData, pictures: PictureFeatures, ids: I64, query: I64, item: I64
) -> tuple[I64, I64, F32, F32]:
    """What `CrossEncoder` reads of pairs; ``ids`` ``[Q, L]`` are those of the queries."""
    asked = ids[query]
    width = max(1, int((asked > 0).sum(axis=1).max(initial=0)))
    picture = np.asarray(data.item_picture)[item]
    shown, has = pictures.for_items(picture), (picture >= 0).astype(np.float32)
    return asked[:, :width], data.texts.batch(item).input_ids, shown, has


def load_teacher(folder: Path, fingerprint: str, device: str = "cpu") -> Teacher:
    """The teacher of a run.

    Args:
        folder: the run's.
        fingerprint: of the shop that is judged.
        device: where it runs.

    Raises:
        TeacherError: the run has no teacher, or is of another shop.
    """
    if not (folder / FIGURES).is_file():
        raise TeacherError(f"{folder} holds no teacher; train one with `mrse train --teacher`")
    stored = json.loads((folder / "config.json").read_text())
    if stored["data"] != fingerprint:
        raise TeacherError(f"{folder} holds a teacher of another shop, or of this shop before it changed")
    config = Config.read(stored["config"])
    data = TrainingData(folder / "data", config)
    plain: F32 = np.load(folder / "picture_features.npy", mmap_mode="r")
    pictures = PictureFeatures(plain, plain[:0], np.zeros(0, np.int64))
    module = CrossEncoder(data.vocabulary, config.picture.feature_dim, config.teacher)
    Stage("teacher", Run(data, folder, device)).load(module)
    return Teacher(module.to(device).eval(), data, pictures, device)
