"""The user portrait (paper: history embeddings): a user's behaviours read by modality."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from artifacts.actions import ACTIONS


class PortraitAttention(nn.Module):
    """``(experts [B, E, d], portrait [B, K, E, d], behaviour [B, K], age_days [B, K])`` -> two ``[B, E, d]``.

    The first, for each modality: attention over the behaviours with the query's expert output as key, and
    one all-zero slot, so that irrelevant history can be ignored (MGDSPR). It reads what resembles the query.
    The second, *inferred*: the user's taste, a mean of all behaviours whatever the query, because a liking
    for colours or brands shows in products of every kind. Without a history both are exactly zero.
    Behaviour type and age enter as learned biases of the scores (*inferred*).
    """

    def __init__(self, experts: int, expert_dim: int) -> None:
        super().__init__()
        self.key = nn.Parameter(torch.eye(expert_dim).repeat(experts, 1, 1))
        #: What the query asks of the history when it says nothing itself (browse).
        self.ask = nn.Parameter(torch.zeros(experts, expert_dim))
        self.sharpness = nn.Parameter(torch.full((experts,), 4.0))
        self.behaviour_bias = nn.Parameter(torch.zeros(len(ACTIONS.behaviours) + 1, experts))
        self.age_slope = nn.Parameter(torch.full((experts,), 0.1))
        #: Score of each behaviour type in the taste's mean, and how fast it forgets.
        self.taste_bias = nn.Parameter(torch.zeros(len(ACTIONS.behaviours) + 1, experts))
        self.taste_slope = nn.Parameter(torch.zeros(experts))

    def forward(
        self, experts: Tensor, portrait: Tensor, behaviour: Tensor, age_days: Tensor
    ) -> tuple[Tensor, Tensor]:
        key = torch.einsum("bmd,mde->bme", experts, self.key) + self.ask
        scores = torch.einsum("bme,bkme->bkm", key, portrait) * self.sharpness
        scores = scores + self.behaviour_bias[behaviour]
        age = torch.log1p(age_days).unsqueeze(-1)
        scores = scores - self.age_slope * age
        empty = (behaviour == 0).unsqueeze(-1)
        scores = scores.masked_fill(empty, -1e9)
        # The all-zero slot: its key and its value are zeros, so its score is 0 and it adds nothing.
        scores = torch.cat([scores, torch.zeros_like(scores[:, :1])], dim=1)
        weights = torch.softmax(scores, dim=1)[:, :-1]
        known = 1.0 - empty.to(weights.dtype)
        alike = torch.einsum("bkm,bkmd->bmd", weights * known, portrait)
        worth = self.taste_bias[behaviour] - self.taste_slope * age
        worth = torch.softmax(worth.masked_fill(empty, -1e9), dim=1) * known
        return alike, torch.einsum("bkm,bkmd->bmd", worth, portrait)
