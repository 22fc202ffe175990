"""FtAtt, the subword expert (paper): fastText features with token attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.towers.experts.expert import Expert
from models.towers.experts.layers import unit


class FtAtt(nn.Module):
    """``ngram_ids int64 [B, W, G]`` (0 = padding) -> unit ``[B, d]``; zeros where there is no word.

    A word is the mean of its hashed n-gram vectors; words are pooled by a = softmax(v' tanh(W e)).
    """

    def __init__(self, buckets: int, expert_dim: int, dropout: float) -> None:
        super().__init__()
        # The row of padding stays zero, so sums need no mask.
        self.ngrams = nn.Embedding(buckets, expert_dim, padding_idx=0)
        with torch.no_grad():
            self.ngrams.weight[1:].normal_(std=0.1)
        self.drop = nn.Dropout(dropout)
        self.w = nn.Linear(expert_dim, expert_dim)
        self.v = nn.Linear(expert_dim, 1, bias=False)
        self.project = nn.Linear(expert_dim, expert_dim, bias=False)
        nn.init.eye_(self.project.weight)

    def forward(self, ngram_ids: Tensor) -> Tensor:
        grams = (ngram_ids > 0).sum(dim=2).to(torch.float32)
        words = self._sum(ngram_ids) / grams.clamp(min=1.0).unsqueeze(-1)
        words = self.drop(words)
        has_word = grams > 0
        scores: Tensor = self.v(torch.tanh(self.w(words))).squeeze(-1)
        weights = torch.softmax(scores.masked_fill(~has_word, -1e9), dim=1) * has_word.to(torch.float32)
        return unit(self.project((weights.unsqueeze(-1) * words).sum(dim=1)))

    def _sum(self, ngram_ids: Tensor) -> Tensor:
        if torch.compiler.is_exporting():
            vectors: Tensor = self.ngrams(ngram_ids)
            return vectors.sum(dim=2)
        # The same sums, without all n-grams' vectors in memory at once. ONNX has no such operator.
        rows, width, depth = ngram_ids.shape
        flat = F.embedding_bag(
            ngram_ids.reshape(rows * width, depth), self.ngrams.weight, mode="sum", padding_idx=0
        )
        return flat.view(rows, width, -1)


FTATT = Expert(
    name="ftatt",
    title="FtAtt",
    build=lambda sizes: FtAtt(sizes.ngram_buckets, sizes.expert_dim, sizes.config.dropout),
    inputs=("ngram_ids",),
    start="ngrams",
    learns_coclicks=True,
    built_when_off=True,
)
