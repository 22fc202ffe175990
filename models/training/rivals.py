"""Rivals: what others clicked for the same words, which a user's history is to choose among.

*Inferred*. To MNSCE what answers a query is no negative, so it never asks a history for the one thing that
it could tell: which of the many answers is this user's. What it teaches of a history instead is to hold off
what does not answer, which the words say better. Among answers a taste can lose no relevance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from common.arrays import I64, Bool
from models.dataset.training_data import TrainingData
from models.training.batches import Batch


@dataclass(frozen=True)
class RivalDraw:
    """Rivals of a batch: ``items`` int64 ``[B, R]``, and ``present`` bool, False where there is none."""

    items: I64
    present: Bool

    @classmethod
    def none(cls, rows: int) -> RivalDraw:
        """Of nobody."""
        return cls(np.zeros((rows, 0), np.int64), np.zeros((rows, 0), np.bool_))


class Rivals:
    """Draws clicks of other users for the intent of a row (`models.dataset.intents`).

    They are drawn as events, so that a rival is as popular as what was clicked: else popularity would tell
    the two apart, and a taste would learn it.
    """

    def __init__(self, data: TrainingData) -> None:
        self._data = data
        intent = data.intent[np.asarray(data.query)]
        intents = int(data.intent.max(initial=0))
        self._events: I64 = np.argsort(intent, kind="stable")
        self._ends: I64 = np.searchsorted(intent[self._events], np.arange(intents + 2))

    def draw(self, drawn: Batch, count: int, rng: np.random.Generator) -> RivalDraw:
        """For rows of words whose user has a history that is shown; none for the others."""
        events, asked = drawn.wanted.events, drawn.queries.query > 0
        found = self.of(np.maximum(events, 0), count, rng)
        rows = drawn.remembered & (events >= 0) & asked & (drawn.queries.shown < 0)
        present = found.present & rows[:, None]
        return RivalDraw(np.where(present, found.items, 0), present)

    def of(self, events: I64, count: int, rng: np.random.Generator) -> RivalDraw:
        """For positive events ``[B]`` that asked in words; none where nobody else clicked anything else."""
        data = self._data
        intent = data.intent[np.asarray(data.query)[events]]
        first, end = self._ends[intent], self._ends[intent + 1]
        places = first[:, None] + (rng.random((len(events), count)) * (end - first)[:, None]).astype(np.int64)
        chosen = self._events[places.clip(max=len(self._events) - 1)]
        items, users = np.asarray(data.item)[chosen].astype(np.int64), np.asarray(data.user)[chosen]
        others = users != np.asarray(data.user)[events][:, None]
        present = (intent > 0)[:, None] & others & (items != np.asarray(data.item)[events][:, None])
        return RivalDraw(np.where(present, items, 0), present)


def choice(positive: Tensor, rivals: Tensor, present: Tensor, *, scale: float) -> Tensor:
    """Cross-entropy of the clicked item among its rivals: the mean over rows that have any, 0 for none.

    Args:
        positive: ``[B]``, cosine of each query, with its history, to what was clicked.
        rivals: ``[B, R]``, cosines to what others clicked.
        present: bool ``[B, R]``, False where there is none.
        scale: of the cosines.
    """
    logits = torch.cat([positive[:, None], rivals.masked_fill(~present, -1e4)], dim=1) * scale
    rows = present.any(dim=1)
    target = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    losses = F.cross_entropy(logits, target, reduction="none") * rows
    return losses.sum() / rows.sum().clamp(min=1)
