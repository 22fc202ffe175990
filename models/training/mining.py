"""Mines hard negatives: items that the model ranks high for a query, less those that may well answer it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from common.arrays import F32, I32, I64
from common.files import replacing
from models.dataset.training_data import TrainingData

#: Grades of pairs: rows of the distinct queries and items, both ``[n]`` -> float32 ``[n]``, 0 to 1.
Grader = Callable[[I64, I64], F32]
#: Mined negatives kept for a query, queries that are mined for, and items that are ranked (*inferred*).
KEPT, MOST_QUERIES, _CHUNK = 32, 20_000, 256


@dataclass(frozen=True)
class Mined:
    """What was mined, by row of the distinct queries.

    ``items`` int32 ``[Q, R]``, -1 where a place is empty; ``grades`` float32 ``[Q, R]``, by the teacher, NaN
    where there is none.
    """

    items: I32
    grades: F32

    @classmethod
    def nothing(cls) -> Mined:
        """Before anything is mined."""
        return cls(np.zeros((0, 0), np.int32), np.zeros((0, 0), np.float32))

    @classmethod
    def read(cls, path: Path) -> Mined:
        """From a file that `save` wrote."""
        with np.load(path) as stored:
            return cls(stored["items"], stored["grades"])

    def save(self, path: Path) -> None:
        """To a file, whole or not at all."""
        with replacing(path) as written:
            np.savez(written, items=self.items, grades=self.grades)


def mine(
    data: TrainingData, queries: F32, items: F32, grader: Grader | None = None, device: str = "cpu"
) -> Mined:
    """Search exactly for the first queries and sample the ranks in ``loss.hard_ranks``.

    Left out is what ``loss.mined_filter`` says. Where it is ``teacher``, and what was mined is distilled too,
    the teacher's grades keep nothing out: they say how far below the positive an item belongs.

    Args:
        data: its queries come in order.
        queries: ``[Q, e]``.
        items: ``[N, e]``; of unit length as the queries, so that products are cosines.
        grader: the teacher, for the filter of that name.
        device: where products are made: `_CHUNK` queries times N at a time.
    """
    loss = data.config.loss
    first, last = loss.hard_ranks
    last = min(last, len(items))
    width = max(0, min(KEPT, last - first + 1))
    found = np.full((len(queries), width), -1, dtype=np.int32)
    rng = np.random.default_rng(data.config.seed)
    catalogue = torch.from_numpy(items).to(device)
    for start in range(0, len(queries) if width else 0, _CHUNK):
        part = torch.from_numpy(queries[start : start + _CHUNK]).to(device)
        near = (part @ catalogue.T).topk(last, dim=1)
        ranked, scores = (each.cpu().numpy()[:, first - 1 :] for each in (near.indices, near.values))
        asked = np.arange(start, start + len(part))
        right = data.answer(np.repeat(asked, ranked.shape[1]), ranked.ravel().astype(np.int64))
        kept = ~right.reshape(ranked.shape)
        if loss.mined_filter == "margin":
            kept &= scores < _known_scores(data, asked, queries, items)[:, None] - loss.guide_margin
        found[asked] = _drawn(ranked, kept, width, rng)
    grades = np.full(found.shape, np.nan, dtype=np.float32)
    if loss.mined_filter == "teacher" and grader is not None:
        rows, places = np.nonzero(found >= 0)
        grades[rows, places] = grader(rows, found[rows, places].astype(np.int64))
        if not loss.distil:
            found[grades > loss.low_relevance] = -1
    return Mined(found, grades)


def _drawn(ranked: I64, kept: np.ndarray, width: int, rng: np.random.Generator) -> I32:
    """At most ``width`` of the items ``[q, r]`` that are kept in each row, drawn by chance, else -1."""
    chance = np.where(kept, rng.random(ranked.shape, dtype=np.float32), 2.0)
    order = np.sort(np.argsort(chance, axis=1)[:, :width], axis=1)
    chosen = np.take_along_axis(ranked, order, axis=1)
    return np.where(np.take_along_axis(kept, order, axis=1), chosen, -1).astype(np.int32)


def _known_scores(data: TrainingData, asked: I64, queries: F32, items: F32) -> F32:
    """Mean cosine ``[n]`` of queries to what is known to answer them; -inf where nothing is."""
    result = np.full(len(asked), -np.inf, dtype=np.float32)
    for place, row in enumerate(asked.tolist()):
        answers = data.answers_of(row)
        if len(answers):
            result[place] = float((items[answers] @ queries[row]).mean())
    return result
