"""The text transformer inside Light-Bert and VBert: our own small one, or the layers of a pretrained BERT."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.towers.experts.config import BertShape, ExpertsConfig
from models.towers.experts.layers import Attention, Block, TokenEmbedding, activation, masked_mean


class TextTransformer(nn.Module):
    """Base of the experts whose ``embed`` and ``blocks`` can start from a pretrained BERT.

    A subclass makes the parts itself, in its own order: the random start depends on it.
    """

    embed: TokenEmbedding
    drop: nn.Dropout
    blocks: nn.ModuleList
    norm: nn.Module

    def states(self, x: Tensor, mask: Tensor) -> Tensor:
        """Tokens ``[B, L, w]`` and mask ``[B, L]`` (True = real) -> the last states ``[B, L, w]``."""
        x = self.drop(x)
        for block in self.blocks:
            x = block(x, mask)
        result: Tensor = self.norm(x)
        return result

    def with_picture(
        self,
        input_ids: Tensor,
        picture: Tensor,
        has: Tensor,
        adaptor: nn.Module,
        no_image: Tensor,
        *,
        apart: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The picture, or ``no_image`` ``[w]``, read as a token ahead of the text: states ``[B, w]``.

        The picture's own state, the mean of the text's states, and that of its first token; ``has`` is
        ``[B, 1]``. With ``apart`` a text without a picture is read as if there were no such token.
        """
        visual = has * adaptor(picture) + (1.0 - has) * no_image
        text = input_ids > 0
        mask = torch.cat([has > 0 if apart else torch.ones_like(text[:, :1]), text], dim=1)
        x = self.states(torch.cat([visual[:, None, :], self.embed(input_ids)], dim=1), mask)
        return x[:, 0], masked_mean(x[:, 1:], text), x[:, 1]

    def pretrained_weights(self) -> list[nn.Parameter]:
        """The weights that a pretrained BERT gives."""
        return [*self.embed.parameters(), *self.blocks.parameters()]


class BertEmbedding(TokenEmbedding):
    """Token plus position, normalised: ids int64 ``[B, L]`` -> ``[B, L, w]``.

    BERT adds a vector of segment 0 to every token; it lies in the positions here.
    """

    def __init__(self, vocabulary: int, width: int, positions: int, norm_eps: float) -> None:
        super().__init__(vocabulary, width, positions)
        self.norm = nn.LayerNorm(width, eps=norm_eps)

    def forward(self, ids: Tensor) -> Tensor:
        result: Tensor = self.norm(super().forward(ids))
        return result


class BertBlock(nn.Module):
    """BERT's own block, which normalises after each sum: ``[B, L, w]`` -> ``[B, L, w]``."""

    def __init__(self, config: ExpertsConfig, shape: BertShape) -> None:
        super().__init__()
        width, hidden = config.hidden, round(config.hidden * config.mlp_ratio)
        self.attention = Attention(width, config.heads)
        self.after_attention = nn.LayerNorm(width, eps=shape.norm_eps)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), activation(shape.activation), nn.Linear(hidden, width)
        )
        self.after_mlp = nn.LayerNorm(width, eps=shape.norm_eps)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.after_attention(x + self.drop(self.attention(x, mask)))
        result: Tensor = self.after_mlp(x + self.drop(self.mlp(x)))
        return result


def text_embedding(config: ExpertsConfig, vocabulary: int, positions: int) -> TokenEmbedding:
    """The embedding that the blocks read."""
    if config.shape is None:
        return TokenEmbedding(vocabulary, config.hidden, positions)
    return BertEmbedding(vocabulary, config.hidden, positions, config.shape.norm_eps)


def text_blocks(config: ExpertsConfig) -> nn.ModuleList:
    """The blocks."""
    width, shape = config.hidden, config.shape
    if shape is None:
        hidden = int(width * config.mlp_ratio)
        own = (Block(width, config.heads, hidden, config.dropout) for _ in range(config.layers))
        return nn.ModuleList(own)
    return nn.ModuleList(BertBlock(config, shape) for _ in range(config.layers))


def last_norm(config: ExpertsConfig) -> nn.Module:
    """The norm after the blocks; those of a pretrained BERT have normalised already."""
    return nn.LayerNorm(config.hidden) if config.shape is None else nn.Identity()
