"""VBert, the image-text expert (paper): a visual BERT with the picture as one token ahead of the text."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.towers.experts.config import ExpertsConfig
from models.towers.experts.expert import Expert
from models.towers.experts.layers import unit
from models.towers.experts.transformer import TextTransformer, last_norm, text_blocks, text_embedding


class VBert(TextTransformer):
    """``(ids int64 [B, L], picture [B, P], has_picture [B])`` -> unit ``[B, d]``; shared by both towers.

    A dense adaptor (paper) turns the frozen picture feature into a token; where there is no picture, a
    learned "no image" token takes its place. *Inferred*: the output reads the picture's state and the
    mean of the text's states.
    """

    def __init__(
        self, config: ExpertsConfig, vocabulary: int, positions: int, feature_dim: int, expert_dim: int
    ) -> None:
        super().__init__()
        width = config.hidden
        self.embed = text_embedding(config, vocabulary, positions)
        self.adaptor = nn.Sequential(
            nn.Linear(feature_dim, 2 * width), nn.GELU(), nn.Linear(2 * width, width), nn.LayerNorm(width)
        )
        self.no_image = nn.Parameter(torch.zeros(width))
        self.drop = nn.Dropout(config.dropout)
        self.blocks = text_blocks(config)
        self.norm = last_norm(config)
        self.project = nn.Linear(2 * width, expert_dim)

    def forward(self, input_ids: Tensor, picture: Tensor, has_picture: Tensor) -> Tensor:
        has = has_picture[:, None]
        states = self.with_picture(input_ids, picture, has, self.adaptor, self.no_image)
        return unit(self.project(torch.cat(states, dim=-1)))


VBERT = Expert(
    name="vbert",
    title="VBert",
    build=lambda sizes: VBert(
        sizes.config, sizes.vocabulary, sizes.positions, sizes.feature_dim, sizes.expert_dim
    ),
    inputs=("input_ids", "picture", "has_picture"),
    shared=True,
    start="bert",
)
