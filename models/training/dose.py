"""How much of the gradient hard negatives have, and the beta that gives them their share of it.

A fixed beta says little: as training goes on, triplets come to rest and MNSCE's gradient falls, each at its
own pace. What counts is measured where both losses meet, at the cosines of queries and items: the sum of the
absolute derivatives, that is how hard each loss pulls and pushes pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.towers.training_config import LossConfig


def pull(loss: Tensor, cosines: Sequence[Tensor]) -> Tensor:
    """Sum of the absolute derivatives of a loss by some cosines; 0 where it does not depend on them."""
    if not loss.requires_grad:
        return torch.zeros((), device=loss.device)
    found = torch.autograd.grad(loss, list(cosines), retain_graph=True, allow_unused=True)
    parts = [part.detach().float().abs().sum() for part in found if part is not None]
    return torch.stack(parts).sum() if parts else torch.zeros((), device=loss.device)


def dose(loss: LossConfig, easy: Tensor, hard: Tensor) -> tuple[Tensor, Tensor]:
    """beta, and the share of the gradient that HNST has with it; both without dimension.

    It depends on this step alone, so that a run that is resumed goes on as it was.

    Args:
        loss: with ``hard_share`` beta is what gives that share, up to ``beta_most``; without, it is fixed.
        easy, hard: what alpha * MNSCE pulls, and what HNST does, see `pull`.
    """
    beta = torch.full_like(easy, loss.beta)
    if loss.hard_share > 0 and loss.alpha > 0:
        wanted = loss.hard_share / (1 - loss.hard_share) * easy / hard.clamp(min=1e-9)
        beta = torch.where(hard > 0, wanted.clamp(max=loss.beta_most), torch.zeros_like(easy))
    both = easy + beta * hard
    return beta, torch.where(both > 0, beta * hard / both.clamp(min=1e-12), torch.zeros_like(both))
