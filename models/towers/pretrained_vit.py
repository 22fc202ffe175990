"""A pretrained ViT in place of the small image encoder: used as it is, never trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from artifacts.bundle.manifest import PictureSpec
from models.towers.experts.layers import Block
from models.towers.image_config import VitShape


class PretrainedVit(nn.Module):
    """Pixels uint8 ``[B, S, S, 3]`` -> feature float32 ``[B, P]``, P the width of the ViT or its projection.

    The feature is the class token's, normalised by layer as that of `ImageEncoder` is. *Inferred*: pictures
    come letterboxed on white as all others do, where the ViT's own preparation would stretch or crop them.
    """

    def __init__(self, shape: VitShape, picture: PictureSpec) -> None:
        super().__init__()
        width = shape.width
        self.patches = nn.Conv2d(3, width, shape.patch, shape.patch, bias=shape.family == "vit")
        self.first = nn.Parameter(torch.zeros(width))
        self.position = nn.Parameter(torch.zeros(1 + (picture.side // shape.patch) ** 2, width))
        clip = shape.family == "clip"
        self.before = nn.LayerNorm(width, eps=shape.norm_eps) if clip else nn.Identity()
        self.blocks = nn.ModuleList(
            Block(width, shape.heads, shape.hidden, 0.0, shape.activation, shape.norm_eps)
            for _ in range(shape.depth)
        )
        self.norm = nn.LayerNorm(width, eps=shape.norm_eps)
        self.project = nn.Linear(width, shape.projected, bias=False) if shape.projected else nn.Identity()
        self.out_norm = nn.LayerNorm(shape.projected or width, elementwise_affine=False)
        # 0..255 to what the ViT was trained on, as one multiplication and one sum.
        std = torch.tensor(shape.std).view(3, 1, 1)
        self.register_buffer("scale", 1.0 / (255.0 * std), persistent=False)
        self.register_buffer("shift", -torch.tensor(shape.mean).view(3, 1, 1) / std, persistent=False)
        self.scale: Tensor
        self.shift: Tensor

    def forward(self, pixels: Tensor) -> Tensor:
        result: Tensor = self.out_norm(self.project(self.states(pixels)[:, 0]))
        return result

    def states(self, pixels: Tensor) -> Tensor:
        """All places after the last norm, ``[B, 1 + patches, P]``."""
        pictures = pixels.permute(0, 3, 1, 2).to(self.scale.dtype) * self.scale + self.shift
        x: Tensor = self.patches(pictures).flatten(2).transpose(1, 2)
        first = self.first.expand(x.shape[0], 1, -1)
        x = self.before(torch.cat([first, x], dim=1) + self.position)
        for block in self.blocks:
            x = block(x)
        result: Tensor = self.norm(x)
        return result
