"""FtAtt, the subword expert (paper): fastText features with token attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.towers.experts.expert import Expert
from models.towers.experts.layers import ngram_table, unit, word_means


class FtAtt(nn.Module):
    """``ngram_ids int64 [B, W, G]`` (0 = padding) -> unit ``[B, d]``; zeros where there is no word.

    A word is the mean of its hashed n-gram vectors; words are pooled by a = softmax(v' tanh(W e)).
    """

    def __init__(self, buckets: int, expert_dim: int, dropout: float) -> None:
        super().__init__()
        self.ngrams = ngram_table(buckets, expert_dim)
        self.drop = nn.Dropout(dropout)
        self.w = nn.Linear(expert_dim, expert_dim)
        self.v = nn.Linear(expert_dim, 1, bias=False)
        self.project = nn.Linear(expert_dim, expert_dim, bias=False)
        nn.init.eye_(self.project.weight)

    def forward(self, ngram_ids: Tensor) -> Tensor:
        words, has_word = word_means(self.ngrams, ngram_ids)
        words = self.drop(words)
        scores: Tensor = self.v(torch.tanh(self.w(words))).squeeze(-1)
        weights = torch.softmax(scores.masked_fill(~has_word, -1e9), dim=1) * has_word.to(torch.float32)
        return unit(self.project((weights.unsqueeze(-1) * words).sum(dim=1)))


FTATT = Expert(
    name="ftatt",
    title="FtAtt",
    build=lambda sizes: FtAtt(sizes.ngram_buckets, sizes.expert_dim, sizes.config.dropout),
    inputs=("ngram_ids",),
    start="ngrams",
    learns_coclicks=True,
    built_when_off=True,
)
