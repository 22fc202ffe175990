"""Fusion: concatenation, then DSSM (paper), to the unit embeddings that the index compares.

*Inferred*: beside the DSSM's layers runs a straight linear path that starts as the same projection in
both towers, so that stage 2 starts from the mean of the experts of stage 1 and only improves on it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.towers.config import Config
from models.towers.experts.layers import unit
from models.towers.gate import Gate
from models.towers.portrait_attention import PortraitAttention


class Dssm(nn.Module):
    """``(experts [B, 3d], context [B, c], beside [B, e])`` -> unit ``[B, e]``; ``beside`` is added to it."""

    def __init__(self, width: int, context: int, hidden: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.straight = nn.Linear(width, dim, bias=False)
        self.layers = nn.Sequential(
            nn.Linear(width + context, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, dim),
        )
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.normal_(last.weight, std=0.002)
        nn.init.zeros_(last.bias)

    def forward(self, experts: Tensor, context: Tensor, beside: Tensor | None = None) -> Tensor:
        mixed: Tensor = self.straight(experts) + self.layers(torch.cat([experts, context], dim=-1))
        return unit(mixed if beside is None else mixed + beside)


class QueryFusion(nn.Module):
    """``(experts [B, E, d], portrait [B, K, E, d], behaviour [B, K], age_days [B, K])`` -> a pair.

    The first output is the unit embedding ``[B, e]``, the second the gate's weights ``[B, E]``.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims, switches = config.dimensions, config.switches
        count, dim = len(dims.experts), dims.expert_dim
        self.portrait = PortraitAttention(count, dim)
        self.gate = Gate(count, dim, config.fusion.gate_hidden, config.fusion.gate_start)
        self.dssm = Dssm(
            count * dim, 2 * count * dim, config.fusion.hidden, dims.embedding_dim, config.fusion.dropout
        )
        #: *Inferred*: both reads of the history also go straight into the embedding.
        self.history = nn.Linear(2 * count * dim, dims.embedding_dim, bias=False)
        nn.init.zeros_(self.history.weight)
        self.use_history, self.use_gate, self.count = switches.history, switches.gate, count

    def forward(
        self, experts: Tensor, portrait: Tensor, behaviour: Tensor, age_days: Tensor
    ) -> tuple[Tensor, Tensor]:
        alike, taste = self.portrait(experts, portrait, behaviour, age_days)
        history = torch.stack([alike, taste], dim=1) * float(self.use_history)
        gate: Tensor = self.gate(experts, history[:, 1])
        if not self.use_gate:
            gate = torch.full_like(gate, 1.0 / self.count) + 0.0 * gate
        weights = (gate * self.count).unsqueeze(-1)
        context = (history * weights.unsqueeze(1)).flatten(1)
        embedding: Tensor = self.dssm((experts * weights).flatten(1), context, self.history(context))
        return embedding, gate


class ItemFusion(nn.Module):
    """``(features [B, E, d], coclick [B, E, d])`` -> unit ``[B, e]``; zeros in coclick = none (paper:
    items too have a clicked-item history)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        dims = config.dimensions
        width = len(dims.experts) * dims.expert_dim
        self.dssm = Dssm(width, width, config.fusion.hidden, dims.embedding_dim, config.fusion.dropout)
        self.use_coclick = config.switches.coclick

    def forward(self, features: Tensor, coclick: Tensor) -> Tensor:
        context = coclick.flatten(1) * float(self.use_coclick)
        result: Tensor = self.dssm(features.flatten(1), context)
        return result
