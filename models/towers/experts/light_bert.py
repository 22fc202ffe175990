"""Light-Bert, the text expert (paper): a BERT of two layers, from scratch or from pretrained weights."""

from __future__ import annotations

from torch import Tensor, nn

from models.towers.config import ExpertsConfig
from models.towers.experts.text_body import last_norm, straight, text_blocks, text_embedding
from models.towers.layers import masked_mean, unit


class LightBert(nn.Module):
    """``ids int64 [B, L]`` (0 = padding) -> unit ``[B, d]``; *inferred*: mean pooling."""

    def __init__(self, config: ExpertsConfig, vocabulary: int, positions: int, expert_dim: int) -> None:
        super().__init__()
        self.embed = text_embedding(config, vocabulary, positions)
        self.drop = nn.Dropout(config.dropout)
        self.blocks = text_blocks(config)
        self.norm = last_norm(config)
        self.project = nn.Linear(config.hidden, expert_dim)
        if config.shape is not None:
            # The pretrained model's own mean stands at the start.
            straight(self.project)

    def forward(self, input_ids: Tensor) -> Tensor:
        mask = input_ids > 0
        x: Tensor = self.drop(self.embed(input_ids))
        for block in self.blocks:
            x = block(x, mask)
        return unit(self.project(masked_mean(self.norm(x), mask)))
