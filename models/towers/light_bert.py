"""Light-Bert, the text expert (paper): a BERT of two layers."""

from __future__ import annotations

from torch import Tensor, nn

from models.towers.config import ExpertsConfig
from models.towers.layers import Block, TokenEmbedding, masked_mean, unit


class LightBert(nn.Module):
    """``ids int64 [B, L]`` (0 = padding) -> unit ``[B, d]``; *inferred*: mean pooling."""

    def __init__(self, config: ExpertsConfig, vocabulary: int, positions: int, expert_dim: int) -> None:
        super().__init__()
        self.embed = TokenEmbedding(vocabulary, config.hidden, positions)
        self.drop = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            Block(config.hidden, config.heads, config.mlp_ratio, config.dropout) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.hidden)
        self.project = nn.Linear(config.hidden, expert_dim)

    def forward(self, input_ids: Tensor) -> Tensor:
        mask = input_ids > 0
        x: Tensor = self.drop(self.embed(input_ids))
        for block in self.blocks:
            x = block(x, mask)
        return unit(self.project(masked_mean(self.norm(x), mask)))
