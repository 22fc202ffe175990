"""Losses: MNSCE (many easy negatives), HNST (few hard ones), and the contrast of pictures and texts."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.training.precision import cosines


def mnsce(
    cosines: Tensor, masked: Tensor, *, scale: float, weights: Tensor, log_q: Tensor | None = None
) -> Tensor:
    """Softmax cross-entropy over mixed negatives: in-batch and a uniform sample of the catalogue.

    Args:
        cosines: ``[B, C]``; row i's positive is in column i, columns from B on are the uniform sample and the
            row's own hard negatives.
        masked: bool ``[B, C]``, True where a column is no negative of the row: another copy of its
            positive, or another item known to answer the query. The positive itself is never masked.
        weights: ``[B]``, weight of each row; rows of weight 0 do not count.
        log_q: ``[C]``, log of how often a step draws the column's item; subtracted from negatives (logQ
            correction). The positive is always there, so it is not corrected.
    """
    rows = len(cosines)
    logits = cosines * scale
    own = torch.eye(rows, logits.shape[1], dtype=torch.bool, device=logits.device)
    if log_q is not None:
        logits = logits - (log_q * ~own)
    logits = logits.masked_fill(masked & ~own, -1e9)
    losses = F.cross_entropy(logits, torch.arange(rows, device=logits.device), reduction="none")
    return (losses * weights).sum() / weights.sum().clamp(min=1.0)


def hnst(positive: Tensor, hard: Tensor, present: Tensor, grades: Tensor, *, margin: float) -> Tensor:
    """Triplet loss: mean of max(0, m - cos(q, p) + cos(q, n)) over the negatives present, 0 for none.

    *Inferred*: m is ``margin`` times (1 - grade), so that a near miss may lie nearer than what is far off.

    Args:
        positive: ``[B]``, cosine of each query to its positive.
        hard: ``[B, H]``, cosines to its hard negatives.
        present: bool ``[B, H]``, False where there is no negative.
        grades: ``[B, H]``, labels of the negatives, 0 to 1; a positive counts as 1.
    """
    losses = F.relu(margin * (1.0 - grades) - positive[:, None] + hard) * present
    return losses.sum() / present.sum().clamp(min=1)


def distil(positive: Tensor, hard: Tensor, gaps: Tensor, taught: Tensor) -> Tensor:
    """MarginMSE: mean of ((cos(q, p) - cos(q, n)) - gap)² over what a teacher graded, 0 for none.

    Args:
        positive: ``[B]``, cosine of each query to its positive.
        hard: ``[B, H]``, cosines to what was mined.
        gaps: ``[B, H]``, how far below the positive the teacher puts each.
        taught: bool ``[B, H]``, False where it graded nothing.
    """
    losses = (positive[:, None] - hard - gaps).square() * taught
    return losses.sum() / taught.sum().clamp(min=1)


def contrast(a: Tensor, b: Tensor, same: Tensor, *, scale: float) -> Tensor:
    """Symmetric supervised-contrastive loss between two sets of unit vectors.

    Args:
        a, b: ``[B, d]``; row i of one belongs to row i of the other.
        same: bool ``[B, B]``, True where row and column mean the same thing; these are all positives.
    """
    logits = cosines(a, b) * scale
    target = same.to(logits.dtype)
    forth = -(target * F.log_softmax(logits, dim=1)).sum(dim=1) / target.sum(dim=1)
    back = -(target * F.log_softmax(logits, dim=0)).sum(dim=0) / target.sum(dim=0)
    return (forth.mean() + back.mean()) / 2
