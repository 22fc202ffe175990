"""Runs the experts over arrays."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from artifacts.bundle import TextBatch
from common.arrays import F32
from models.towers.lmoe import ExpertSet

#: Rows of like length that run together.
_ALIKE = 96


def run_experts(experts: ExpertSet, text: TextBatch, picture: F32, has_picture: F32, device: str) -> Tensor:
    """``[B, M, d]`` from arrays. Rows of like length run together, because padding costs as much as text."""
    lengths = (text.input_ids > 0).sum(axis=1)
    order = np.argsort(lengths, kind="stable")
    parts = []
    for part in np.array_split(order, max(1, len(order) // _ALIKE)):
        ids, ngrams = text.input_ids[part, : int(lengths[part].max())], trim_words(text.ngram_ids[part])
        arrays = (ids, ngrams, picture[part], has_picture[part])
        parts.append(experts(*(to_device(array, device) for array in arrays)))
    return torch.cat(parts)[torch.from_numpy(np.argsort(order))]


def trim_words(ngram_ids: np.ndarray) -> np.ndarray:
    """n-grams ``[B, W, G]`` without the words that all rows lack; one at least stays."""
    words = int((ngram_ids[:, :, 0] > 0).sum(axis=1).max(initial=0))
    return ngram_ids[:, : max(1, words)]


def to_device(array: np.ndarray, device: str) -> Tensor:
    """An array as a tensor."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
