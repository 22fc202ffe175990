"""FtAtt, the subword expert (paper): fastText features with token attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.towers.layers import unit


class FtAtt(nn.Module):
    """``ngram_ids int64 [B, W, G]`` (0 = padding) -> unit ``[B, d]``; zeros where there is no word.

    A word is the mean of its hashed n-gram vectors; words are pooled by a = softmax(v' tanh(W e)).
    """

    def __init__(self, buckets: int, expert_dim: int, dropout: float) -> None:
        super().__init__()
        self.ngrams = nn.Embedding(buckets, expert_dim)
        nn.init.normal_(self.ngrams.weight, std=0.1)
        self.drop = nn.Dropout(dropout)
        self.w = nn.Linear(expert_dim, expert_dim)
        self.v = nn.Linear(expert_dim, 1, bias=False)
        self.project = nn.Linear(expert_dim, expert_dim, bias=False)
        nn.init.eye_(self.project.weight)

    def forward(self, ngram_ids: Tensor) -> Tensor:
        real = (ngram_ids > 0).to(torch.float32)
        grams = real.sum(dim=2)
        vectors: Tensor = self.ngrams(ngram_ids)
        words = (vectors * real.unsqueeze(-1)).sum(dim=2) / grams.clamp(min=1.0).unsqueeze(-1)
        words = self.drop(words)
        has_word = grams > 0
        scores: Tensor = self.v(torch.tanh(self.w(words))).squeeze(-1)
        weights = torch.softmax(scores.masked_fill(~has_word, -1e9), dim=1) * has_word.to(torch.float32)
        return unit(self.project((weights.unsqueeze(-1) * words).sum(dim=1)))
