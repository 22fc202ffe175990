"""Runs the experts over arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from artifacts.bundle import TextBatch
from common.arrays import F32
from models.towers.lmoe import ExpertSet

#: Rows of like length that run together.
_ALIKE = 96


def run_experts(
    experts: ExpertSet,
    text: TextBatch,
    picture: F32,
    has_picture: F32,
    device: str,
    cached_rows: int = 0,
) -> Tensor:
    """``[B, M, d]`` from arrays. Rows of like length run together, because padding costs as much as text.

    ``cached_rows`` as for `in_parts`.
    """
    lengths = (text.input_ids > 0).sum(axis=1)
    order = np.argsort(lengths, kind="stable")
    parts = []
    for part in np.array_split(order, max(1, len(order) // (cached_rows or _ALIKE))):
        ids, ngrams = text.input_ids[part, : int(lengths[part].max())], trim_words(text.ngram_ids[part])
        arrays = (ids, ngrams, picture[part], has_picture[part])
        parts.append(_part(experts, [to_device(array, device) for array in arrays], cached=cached_rows > 0))
    return torch.cat(parts)[torch.from_numpy(np.argsort(order))]


def in_parts(module: Callable[..., Tensor], inputs: Sequence[Tensor], cached_rows: int) -> Tensor:
    """A module over inputs ``[n, …]``, so many rows at a time; all at once where ``cached_rows`` is 0.

    Of each part the outputs alone are kept; its activations are made again when its gradient is due, with the
    same dropout. So a batch may be as large as its embeddings, whatever the module takes for a row.
    """
    rows = len(inputs[0])
    if not cached_rows or rows <= cached_rows:
        return module(*inputs)
    spans = [slice(start, start + cached_rows) for start in range(0, rows, cached_rows)]
    return torch.cat([_part(module, [each[span] for each in inputs], cached=True) for span in spans])


def _part(module: Callable[..., Tensor], inputs: Sequence[Tensor], *, cached: bool) -> Tensor:
    if cached and torch.is_grad_enabled():
        found: Tensor = checkpoint(module, *inputs, use_reentrant=False)
        return found
    return module(*inputs)


def trim_words(ngram_ids: np.ndarray) -> np.ndarray:
    """n-grams ``[B, W, G]`` without the words that all rows lack; one at least stays."""
    words = int((ngram_ids[:, :, 0] > 0).sum(axis=1).max(initial=0))
    return ngram_ids[:, : max(1, words)]


def to_device(array: np.ndarray, device: str) -> Tensor:
    """An array as a tensor."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def side_by_side(outputs: Tensor) -> F32:
    """Experts' outputs ``[n, M, d]`` -> ``[n, M * d]``."""
    found: F32 = outputs.flatten(1).cpu().numpy()
    return found
