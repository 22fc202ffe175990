"""Noise that training adds: typos in queries, crops and colours in pictures."""

from __future__ import annotations

import math
import string

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.towers.image_config import ImageConfig

_LETTERS = string.ascii_lowercase


def typo(query: str, rng: np.random.Generator) -> str:
    """One typo in a word of four letters or more: two letters swapped, one dropped, doubled or replaced."""
    parts = query.split(" ")
    long = [place for place, word in enumerate(parts) if len(word) >= 4]
    if not long:
        return query
    place = long[int(rng.integers(len(long)))]
    word = parts[place]
    at = int(rng.integers(1, len(word) - 1))
    kind = int(rng.integers(4))
    if kind == 0:
        word = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    elif kind == 1:
        word = word[:at] + word[at + 1 :]
    elif kind == 2:
        word = word[:at] + word[at] + word[at:]
    else:
        word = word[:at] + _LETTERS[int(rng.integers(26))] + word[at + 1 :]
    parts[place] = word
    return " ".join(parts)


def augment(pictures: Tensor, config: ImageConfig, generator: torch.Generator) -> Tensor:
    """Random crop, rotation, flip and colour jitter: ``[B, 3, S, S]`` in [-1, 1] -> same."""
    rows = len(pictures)

    def draw(low: float, high: float, *shape: int) -> Tensor:
        drawn = torch.rand(rows, *shape, generator=generator) * (high - low) + low
        return drawn.to(pictures.device)

    # Share of the side that the crop keeps, above 1 with a white border; width and height differ a little.
    scale = draw(config.crop, 1.1)
    stretch = torch.exp(draw(-0.15, 0.15))
    angle = draw(-config.rotate, config.rotate) * (math.pi / 180)
    slack = (1.0 - scale).abs()
    dx, dy = draw(-1, 1) * slack, draw(-1, 1) * slack
    mirror = torch.where(draw(0, 1) < 0.5, -1.0, 1.0) if config.flip else torch.ones_like(scale)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    first = torch.stack([cos * stretch * mirror, -sin * stretch, dx], dim=1)
    second = torch.stack([sin * mirror / stretch, cos / stretch, dy], dim=1)
    grid = F.affine_grid(torch.stack([first, second], dim=1), list(pictures.shape), align_corners=False)
    # 1 is white: outside of a letterboxed picture there is white, and grid_sample pads with 0.
    result = F.grid_sample(pictures - 1.0, grid, padding_mode="zeros", align_corners=False) + 1.0
    if config.colour > 0 or config.hue > 0:
        c, h = config.colour, config.hue
        brightness = draw(1 - c, 1 + c, 1, 1, 1) * draw(1 - h, 1 + h, 3, 1, 1)
        mean = result.mean(dim=(2, 3), keepdim=True)
        contrast = draw(1 - c, 1 + c, 1, 1, 1)
        grey = result.mean(dim=1, keepdim=True)
        result = (result - mean) * contrast + mean
        result = grey + (result - grey) * draw(1 - c, 1 + c, 1, 1, 1)
        result = ((result + 1) * brightness - 1).clamp(-1, 1)
    return result
