"""The image encoder: a small ViT with a convolutional stem, trained on the catalogue and then frozen.

Stands in for the paper's frozen ViT-L; the architecture is *inferred*.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from artifacts.bundle.manifest import PictureSpec
from models.towers.experts.layers import Block
from models.towers.image_config import ImageConfig


def as_float(pixels: Tensor) -> Tensor:
    """uint8 ``[B, S, S, 3]`` -> float32 ``[B, 3, S, S]`` in [-1, 1]."""
    return pixels.permute(0, 3, 1, 2).to(torch.float32) * (2.0 / 255.0) - 1.0


class ImageEncoder(nn.Module):
    """Pixels uint8 ``[B, S, S, 3]`` -> feature float32 ``[B, P]`` (normalised by layer, not by length)."""

    def __init__(self, config: ImageConfig, picture: PictureSpec) -> None:
        super().__init__()
        channels = (3, *config.stem, config.width)
        stem: list[nn.Module] = []
        for before, after in pairwise(channels):
            stem += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.GELU()]
        self.stem = nn.Sequential(*stem)
        grid = picture.side
        for _ in channels[1:]:
            grid = (grid + 1) // 2
        self.position = nn.Parameter(torch.empty(grid * grid, config.width))
        nn.init.normal_(self.position, std=0.02)
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, int(config.width * config.mlp_ratio), config.dropout)
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width)
        self.project = nn.Linear(2 * config.width, picture.feature_dim)
        self.out_norm = nn.LayerNorm(picture.feature_dim, elementwise_affine=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """As served: uint8 pixels, channels last."""
        return self.encode(as_float(pixels).to(self.position.dtype))

    def encode(self, pictures: Tensor) -> Tensor:
        """As trained: float32 ``[B, 3, S, S]`` in [-1, 1], augmented or not -> ``[B, P]``."""
        maps: Tensor = self.stem(pictures)
        x = maps.flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        # The mean sees texture and colour, the maximum a small logo.
        pooled = torch.cat([x.mean(dim=1), x.amax(dim=1)], dim=-1)
        result: Tensor = self.out_norm(self.project(pooled))
        return result
