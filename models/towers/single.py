"""One transformer with as many parameters as the experts together: what the LMoE is measured against."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.towers.config import Config
from models.towers.experts.layers import Block, TokenEmbedding, masked_mean, unit
from models.towers.lmoe import Experts, ExpertSet

_WIDEST = 4096


class SingleTransformer(ExpertSet):
    """``(input_ids [B, L], ngram_ids [B, W, G], picture [B, P], has_picture [B])`` -> ``[B, M, d]``.

    Inputs and outputs are those of `Experts`, so that everything after it stays as it is: one transformer
    reads the picture as a token ahead of the text, and its pooled output is projected to M unit vectors.
    ``ngram_ids`` only tell whether there is a word. *Inferred*: as deep as one expert, and as wide as the
    parameters of the experts allow (see `equal_width`), unless ``width`` says otherwise.
    """

    def __init__(self, config: Config, vocabulary: int, width: int | None = None) -> None:
        super().__init__()
        dims, knobs = config.dimensions, config.experts
        width = width or equal_width(config, vocabulary)
        positions = max(config.text.max_query_tokens, config.text.max_item_tokens)
        self.use_picture, self.count = config.switches.picture, len(dims.experts)
        self.embed = TokenEmbedding(vocabulary, width, positions)
        self.adaptor = nn.Sequential(nn.Linear(config.picture.feature_dim, width), nn.LayerNorm(width))
        self.no_image = nn.Parameter(torch.zeros(width))
        self.drop = nn.Dropout(knobs.dropout)
        self.blocks = nn.ModuleList(
            Block(width, knobs.heads, knobs.mlp_ratio, knobs.dropout) for _ in range(knobs.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(2 * width, self.count * dims.expert_dim)

    def forward(self, input_ids: Tensor, ngram_ids: Tensor, picture: Tensor, has_picture: Tensor) -> Tensor:
        has = has_picture[:, None] * float(self.use_picture)
        visual = has * self.adaptor(picture) + (1.0 - has) * self.no_image
        x: Tensor = self.drop(torch.cat([visual[:, None, :], self.embed(input_ids)], dim=1))
        text = input_ids > 0
        mask = torch.cat([torch.ones_like(text[:, :1]), text], dim=1)
        for block in self.blocks:
            x = block(x, mask)
        x = self.norm(x)
        # A graph drops inputs that it does not read, so the n-grams say whether there is a word at all.
        spoken = (ngram_ids > 0).flatten(1).any(dim=1, keepdim=True).to(x.dtype)
        pooled = torch.cat([x[:, 0], masked_mean(x[:, 1:], text) * spoken], dim=-1)
        parts: Tensor = self.project(pooled)
        return unit(parts.view(-1, self.count, parts.shape[1] // self.count))


def equal_width(config: Config, vocabulary: int) -> int:
    """The width, a multiple of the heads, at which the parameters come nearest to those of `Experts`."""
    heads = config.experts.heads
    with torch.device("meta"):

        def count(width: int) -> int:
            return parameters(SingleTransformer(config, vocabulary, width))

        wanted = parameters(Experts(config, vocabulary))
        low, high = 1, _WIDEST // heads
        while low < high:
            middle = (low + high) // 2
            if count(middle * heads) < wanted:
                low = middle + 1
            else:
                high = middle
        near = [width * heads for width in (low - 1, low) if width > 0]
        return min(near, key=lambda width: abs(count(width) - wanted))


def parameters(module: nn.Module) -> int:
    """How many weights a module has."""
    return sum(p.numel() for p in module.parameters())
