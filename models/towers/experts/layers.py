"""Layers that several parts share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def unit(x: Tensor) -> Tensor:
    """``x`` at length 1 along the last axis; zeros stay zeros, with a finite gradient."""
    # A clamp and no "+ epsilon": the ONNX optimiser takes a small addend for 0 and drops it.
    return x / torch.sqrt(x.square().sum(dim=-1, keepdim=True).clamp(min=1e-12))


class Attention(nn.Module):
    """Multi-head self-attention: ``[B, L, w]`` with the mask ``[B, L]`` (True = real) -> ``[B, L, w]``."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is no multiple of {heads} heads")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        rows, length, width = x.shape
        size = width // self.heads
        qkv: Tensor = self.qkv(x)
        q, k, v = qkv.view(rows, length, 3, self.heads, size).permute(2, 0, 3, 1, 4).unbind(0)
        allowed = None if mask is None else mask[:, None, None, :]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
        mixed = mixed.transpose(1, 2).reshape(rows, length, width)
        result: Tensor = self.out(mixed)
        return result


def activation(name: str) -> nn.Module:
    """The non-linearity of a pretrained model's blocks, by its name in our configuration."""
    if name == "relu":
        return nn.ReLU()
    if name == "quick_gelu":
        return QuickGelu()
    return nn.GELU(approximate="tanh" if name == "gelu_tanh" else "none")


class QuickGelu(nn.Module):
    """CLIP's x * sigmoid(1.702 x)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (1.702 * x).sigmoid()


class Block(nn.Module):
    """Pre-norm transformer block, ``[B, L, w]`` -> ``[B, L, w]``."""

    def __init__(
        self, width: int, heads: int, hidden: int, dropout: float, act: str = "gelu", eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.before_attention = nn.LayerNorm(width, eps=eps)
        self.attention = Attention(width, heads)
        self.before_mlp = nn.LayerNorm(width, eps=eps)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), activation(act), nn.Linear(hidden, width))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x + self.drop(self.attention(self.before_attention(x), mask))
        result: Tensor = x + self.drop(self.mlp(self.before_mlp(x)))
        return result


class TokenEmbedding(nn.Module):
    """Token plus position: ids int64 ``[B, L]`` -> ``[B, L, w]``; padding rows are masked later."""

    def __init__(self, vocabulary: int, width: int, positions: int) -> None:
        super().__init__()
        self.token = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(torch.empty(positions, width))
        nn.init.normal_(self.token.weight, std=0.05)
        nn.init.normal_(self.position, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        tokens: Tensor = self.token(ids)
        return tokens + self.position[: ids.shape[1]]


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``[B, L, w]`` over the places where ``[B, L]`` is True -> ``[B, w]``; zeros where none is."""
    weights = mask.to(x.dtype).unsqueeze(-1)
    return (x * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)


def ngram_table(buckets: int, width: int) -> nn.Embedding:
    """Vectors of hashed n-grams; the row of padding stays zero, so sums need no mask."""
    table = nn.Embedding(buckets, width, padding_idx=0)
    with torch.no_grad():
        table.weight[1:].normal_(std=0.1)
    return table


def word_means(table: nn.Embedding, ngram_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Words as means of their n-grams: ``int64 [B, W, G]`` -> ``[B, W, d]``, and bool ``[B, W]`` (a word)."""
    grams = (ngram_ids > 0).sum(dim=2).to(torch.float32)
    return _ngram_sum(table, ngram_ids) / grams.clamp(min=1.0).unsqueeze(-1), grams > 0


def _ngram_sum(table: nn.Embedding, ngram_ids: Tensor) -> Tensor:
    if torch.compiler.is_exporting():
        vectors: Tensor = table(ngram_ids)
        return vectors.sum(dim=2)
    # The same sums, without all n-grams' vectors in memory at once. ONNX has no such operator.
    rows, width, depth = ngram_ids.shape
    flat = F.embedding_bag(ngram_ids.reshape(rows * width, depth), table.weight, mode="sum", padding_idx=0)
    return flat.view(rows, width, -1)
