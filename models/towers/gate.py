"""The modality gate: how much each expert counts for this query of this user."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Gate(nn.Module):
    """``(experts [B, E, d], portrait [B, E, d])`` -> weights ``[B, E]`` that sum to 1 (*inferred*)."""

    def __init__(self, experts: int, expert_dim: int, hidden: int, start: tuple[float, ...] = ()) -> None:
        super().__init__()
        self.hidden = nn.Linear(2 * experts * expert_dim, hidden)
        self.out = nn.Linear(hidden, experts)
        # Equal weights at the start, unless told otherwise: no modality is favoured without a reason.
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        if start:
            with torch.no_grad():
                self.out.bias.copy_(torch.tensor(start).log())

    def forward(self, experts: Tensor, portrait: Tensor) -> Tensor:
        x = torch.cat([experts.flatten(1), portrait.flatten(1)], dim=-1)
        return torch.softmax(self.out(torch.tanh(self.hidden(x))), dim=-1)
