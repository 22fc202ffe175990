"""What stands in for an expert that is switched off."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Silent(nn.Module):
    """Tensors of ``[B, ...]`` -> zeros ``[B, d]``; reads all of them, because a graph drops unread inputs."""

    def __init__(self, expert_dim: int) -> None:
        super().__init__()
        self.register_buffer("nothing", torch.zeros(expert_dim), persistent=False)
        self.nothing: Tensor

    def forward(self, *inputs: Tensor) -> Tensor:
        read = torch.stack([x.reshape(x.shape[0], -1).to(torch.float32).sum(dim=1) for x in inputs]).sum(
            dim=0
        )
        return read[:, None] * self.nothing
