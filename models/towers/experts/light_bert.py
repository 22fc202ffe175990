"""Light-Bert, the text expert (paper): a BERT of two layers, from scratch or from pretrained weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.towers.experts.config import ExpertsConfig
from models.towers.experts.expert import Expert
from models.towers.experts.layers import masked_mean, unit
from models.towers.experts.transformer import TextTransformer, last_norm, text_blocks, text_embedding


class LightBert(TextTransformer):
    """``ids int64 [B, L]`` (0 = padding) -> unit ``[B, d]``; zeros where there is no text but the frame of
    one. *Inferred*: mean pooling."""

    def __init__(self, config: ExpertsConfig, vocabulary: int, positions: int, expert_dim: int) -> None:
        super().__init__()
        self.embed = text_embedding(config, vocabulary, positions)
        self.drop = nn.Dropout(config.dropout)
        self.blocks = text_blocks(config)
        self.norm = last_norm(config)
        self.project = nn.Linear(config.hidden, expert_dim)
        #: Tokens of an empty text: [CLS] alone, and [SEP] with a tokenizer that comes with a BERT.
        self.frame = 1 if config.shape is None else 2
        if config.shape is not None:
            # The mean of the pretrained model's states stands at the start.
            _keep_angles(self.project)

    def forward(self, input_ids: Tensor) -> Tensor:
        mask = input_ids > 0
        says = (mask.sum(dim=1, keepdim=True) > self.frame).to(torch.float32)
        return unit(self.project(masked_mean(self.states(self.embed(input_ids), mask), mask))) * says


def _keep_angles(layer: nn.Linear) -> None:
    """Start a projection so that it keeps lengths and angles as far as its width allows."""
    if layer.in_features == layer.out_features:
        nn.init.eye_(layer.weight)
    else:
        nn.init.orthogonal_(layer.weight)
    nn.init.zeros_(layer.bias)


LIGHT_BERT = Expert(
    name="light_bert",
    title="Light-Bert",
    build=lambda sizes: LightBert(sizes.config, sizes.vocabulary, sizes.positions, sizes.expert_dim),
    inputs=("input_ids",),
    start="bert",
    built_when_off=True,
)
