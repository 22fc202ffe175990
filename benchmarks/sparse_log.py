"""A log of low relevance: what a model listed near the top and a judge grades low; some of it wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from common.arrays import F16, F32, I64
from models.dataset.training_data import TrainingData
from models.evaluation.grades import JudgeGrades
from models.synthetic import RELEVANT
from models.towers import Towers
from models.training.encode import run_experts

#: Places of a list that are looked at, and labels that it gives at most (*inferred*).
LISTED, LABELS = 500, 24
#: Of these labels: to train on, of val, of test.
SHARES = (0.5, 0.25, 0.25)
_CHUNK = 512


@dataclass(frozen=True)
class ServedLog:
    """Rows of the distinct queries, items and grades, each ``[n]``, by what they are for.

    ``low`` are three parts of what the judge grades low: to train on, of val and of test; no pair is in two.
    ``relevant`` are listed items that answer, and that training does not know to answer.
    """

    low: tuple[Pairs, Pairs, Pairs]
    relevant: Pairs

    def taught(self, noise: float, seed: int) -> Pairs:
        """The labels to train on, of which a share is wrong: what answers is labelled as what does not.

        Wrong ones take the place of right ones, and their grade; where a list has fewer than are asked for,
        so has the log.
        """
        right, rng = self.low[0], np.random.default_rng((seed, round(1000 * noise)))
        wrong = min(round(noise * len(right.query)), len(self.relevant.query))
        chosen = rng.permutation(len(self.relevant.query))[:wrong]
        replaced = rng.permutation(len(right.query))[:wrong]
        query, item = right.query.copy(), right.item.copy()
        query[replaced], item[replaced] = self.relevant.query[chosen], self.relevant.item[chosen]
        return Pairs(query, item, right.grade)


@dataclass(frozen=True)
class Pairs:
    """Labelled pairs: ``query`` and ``item`` int64 ``[n]``, ``grade`` float32 ``[n]``."""

    query: I64
    item: I64
    grade: F32

    def of(self, places: I64) -> Pairs:
        """Some of them."""
        return Pairs(self.query[places], self.item[places], self.grade[places])

    def write(self, folder: Path) -> None:
        """As `models.dataset.prepare` writes what a log labels as low, for searches by words alone."""
        asked = np.stack([self.query, np.full_like(self.query, -1), self.item], axis=1)
        order = np.lexsort((self.item, self.query))
        np.save(folder / "low_asked.npy", asked[order])
        np.save(folder / "low_grade.npy", self.grade[order])


def listed(data: TrainingData, towers: Towers, features: F16) -> I64:
    """The first items for each distinct query, by the mean cosine of the experts: ``[Q, LISTED]``.

    The empty query lists nothing: its row is of -1.
    """
    items = torch.from_numpy(features.reshape(data.items, -1).astype(np.float32))
    result = np.full((len(data.queries), min(LISTED, data.items)), -1, dtype=np.int64)
    towers.eval()
    with torch.no_grad():
        for start in range(1, len(data.queries), _CHUNK):
            part = embedded(data, towers, data.queries[start : start + _CHUNK]).flatten(1)
            result[start : start + len(part)] = (part @ items.T).topk(result.shape[1], dim=1).indices.numpy()
    return result


def embedded(data: TrainingData, towers: Towers, texts: list[str]) -> torch.Tensor:
    """What the experts say of queries without a picture ``[n, M, d]``."""
    none = np.zeros(len(texts), dtype=np.float32)
    picture = np.zeros((len(texts), data.config.picture.feature_dim), dtype=np.float32)
    return run_experts(towers.query_experts, data.text.queries(texts), picture, none, "cpu")


def draw_log(data: TrainingData, judge: JudgeGrades, top: I64, seed: int) -> ServedLog:
    """Judge what was listed ``[Q, LISTED]``, and draw labels from it."""
    rng = np.random.default_rng(seed)
    low: list[Pairs] = []
    relevant: list[Pairs] = []
    for row in range(1, len(data.queries)):
        grades = judge.catalogue_grades(data.queries[row], None)
        if grades is None or top[row, 0] < 0:
            continue
        shown = rng.permutation(top[row])
        known = data.answer(np.full(len(shown), row), shown)
        answers = grades[shown] >= RELEVANT
        least = grades[shown] <= data.config.loss.low_relevance
        low.append(_pairs(row, shown[least & ~known][:LABELS], grades))
        relevant.append(_pairs(row, shown[answers & ~known], grades))
    every = _joined(low)
    part = np.searchsorted(np.cumsum(SHARES[:2]), rng.random(len(every.query)), side="right")
    first, second, third = (every.of(np.flatnonzero(part == place)) for place in range(3))
    return ServedLog((first, second, third), _joined(relevant))


def _pairs(row: int, items: I64, grades: F32) -> Pairs:
    return Pairs(np.full(len(items), row, np.int64), items, grades[items])


def _joined(parts: list[Pairs]) -> Pairs:
    columns = ((part.query, part.item, part.grade) for part in parts)
    return Pairs(*map(np.concatenate, zip(*columns, strict=True)))
