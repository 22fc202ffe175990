"""One transformer with as many parameters as the experts together: what the LMoE is measured against."""

from __future__ import annotations

from bisect import bisect_left

import torch
from torch import Tensor, nn

from models.towers.config import Config
from models.towers.experts.layers import Block, TokenEmbedding, masked_mean, ngram_table, unit, word_means
from models.towers.experts.transformer import TextTransformer
from models.towers.lmoe import Experts, ExpertSet

_WIDEST = 4096


class SingleTransformer(TextTransformer, ExpertSet):
    """``(input_ids [B, L], ngram_ids [B, W, G], picture [B, P], has_picture [B])`` -> ``[B, M, d]``.

    Inputs and outputs are those of `Experts`, so that everything after it stays as it is: one transformer
    reads the picture as a token ahead of the text and the words, as means of their n-grams, as tokens after
    it; its pooled output is projected to M unit vectors. So it sees all that the experts see. *Inferred*: as
    deep as one expert, and as wide as the parameters of the experts allow (see `equal_width`), unless
    ``width`` says otherwise.
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
        self.ngrams = ngram_table(config.text.ngram_buckets, dims.expert_dim)
        self.widen = nn.Linear(dims.expert_dim, width)
        self.drop = nn.Dropout(knobs.dropout)
        hidden = int(width * knobs.mlp_ratio)
        self.blocks = nn.ModuleList(
            Block(width, knobs.heads, hidden, knobs.dropout) for _ in range(knobs.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(2 * width, self.count * dims.expert_dim)

    def forward(self, input_ids: Tensor, ngram_ids: Tensor, picture: Tensor, has_picture: Tensor) -> Tensor:
        has = has_picture[:, None] * float(self.use_picture)
        visual = has * self.adaptor(picture) + (1.0 - has) * self.no_image
        words, spoken = word_means(self.ngrams, ngram_ids)
        text = input_ids > 0
        mask = torch.cat([torch.ones_like(text[:, :1]), text, spoken], dim=1)
        tokens = torch.cat([visual[:, None, :], self.embed(input_ids), self.widen(words)], dim=1)
        states = self.states(tokens, mask)
        read = masked_mean(states[:, 1:], mask[:, 1:])
        # A text without a word is a frame of tokens that says nothing.
        pooled = torch.cat([states[:, 0], read * spoken.any(dim=1, keepdim=True).to(read.dtype)], dim=-1)
        parts: Tensor = self.project(pooled)
        return unit(parts.view(-1, self.count, parts.shape[1] // self.count))


def equal_width(config: Config, vocabulary: int) -> int:
    """The width, a multiple of the heads, at which the parameters come nearest to those of `Experts`."""
    heads = config.experts.heads

    def count(width: int) -> int:
        return parameters(SingleTransformer(config, vocabulary, width))

    with torch.device("meta"):
        wanted = parameters(Experts(config, vocabulary))
        widths = range(heads, _WIDEST + 1, heads)
        place = bisect_left(widths, wanted, key=count)
        return min(widths[max(place - 1, 0) : place + 1], key=lambda width: abs(count(width) - wanted))


def parameters(module: nn.Module) -> int:
    """How many weights a module has."""
    return sum(p.numel() for p in module.parameters())
