"""Pretrained CNNs in place of the small image encoder: used as they are, never trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.towers.experts.layers import unit
from models.towers.image_config import CnnShape


class PretrainedCnn(nn.Module):
    """Pixels uint8 ``[B, S, S, 3]`` -> raw feature float32 ``[B, R]``, R being ``shape.width``.

    *Inferred*: the feature holds means over the places of several depths, each at length 1: early maps know
    colour and texture, which a classifier of things has forgotten at its end.
    """

    def __init__(self, shape: CnnShape) -> None:
        super().__init__()
        self.net: EfficientNetLite | ResNet
        self.net = (
            EfficientNetLite(shape.stages) if shape.family == "efficientnet_lite" else ResNet(shape.stages)
        )
        # 0..255 to what it was trained on, as one multiplication and one sum.
        std = torch.tensor(shape.std).view(3, 1, 1)
        self.register_buffer("scale", 1.0 / (255.0 * std), persistent=False)
        self.register_buffer("shift", -torch.tensor(shape.mean).view(3, 1, 1) / std, persistent=False)
        self.scale: Tensor
        self.shift: Tensor

    def forward(self, pixels: Tensor) -> Tensor:
        pictures = pixels.permute(0, 3, 1, 2).to(self.scale.dtype) * self.scale + self.shift
        read = [part.mean(dim=(2, 3)) for part in self.net.maps(pictures)]
        return torch.cat([unit(part) for part in read], dim=1)


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's padding "SAME", which is larger at the end where it is uneven."""

    def __init__(self, inside: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inside, out, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        if kernel == 1:
            return super().forward(x)
        down = max((-(-x.shape[2] // stride) - 1) * stride + kernel - x.shape[2], 0)
        right = max((-(-x.shape[3] // stride) - 1) * stride + kernel - x.shape[3], 0)
        padded = F.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))
        return super().forward(padded)


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3)


class MbConv(nn.Module):
    """Widen, convolve each channel, narrow; added to what came in where the shapes are the same.

    Its weights are named as in the published PyTorch files.
    """

    def __init__(self, inside: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inside * expansion
        self.expand = expansion != 1
        if self.expand:
            self._expand_conv, self._bn0 = SameConv(inside, wide, 1), _norm(wide)
        self._depthwise_conv, self._bn1 = SameConv(wide, wide, kernel, stride, groups=wide), _norm(wide)
        self._project_conv, self._bn2 = SameConv(wide, out, 1), _norm(out)
        self.residual = stride == 1 and inside == out

    def forward(self, x: Tensor) -> Tensor:
        wide = F.relu6(self._bn0(self._expand_conv(x))) if self.expand else x
        wide = F.relu6(self._bn1(self._depthwise_conv(wide)))
        result: Tensor = self._bn2(self._project_conv(wide))
        return result + x if self.residual else result


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite 0 to 4: rows ``blocks, kernel, stride, expansion, width`` after stem and head."""

    def __init__(self, stages: Sequence[Sequence[int]]) -> None:
        super().__init__()
        (stem, head), *rows = stages
        self._conv_stem, self._bn0 = SameConv(3, stem, 3, 2), _norm(stem)
        self._blocks = nn.ModuleList()
        #: Blocks whose maps are read: the last before the third and the fifth halving.
        self.read: list[int] = []
        inside, halvings = stem, 1
        for count, kernel, stride, expansion, width in rows:
            if stride == 2:
                halvings += 1
                if halvings in (4, 5):
                    self.read.append(len(self._blocks) - 1)
            for place in range(count):
                block = MbConv(inside, width, kernel, stride if place == 0 else 1, expansion)
                self._blocks.append(block)
                inside = width
        self._conv_head, self._bn1 = SameConv(inside, head, 1), _norm(head)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The maps ``[B, C, H, W]`` that are read, from pictures ``[B, 3, S, S]``."""
        found = []
        x = F.relu6(self._bn0(self._conv_stem(x)))
        for place, block in enumerate(self._blocks):
            x = block(x)
            if place in self.read:
                found.append(x)
        return [*found, F.relu6(self._bn1(self._conv_head(x)))]


class ResBlock(nn.Module):
    """Two convolutions, or three around a narrow middle, added to what came in; named as in torchvision."""

    def __init__(self, inside: int, width: int, stride: int, *, deep: bool) -> None:
        super().__init__()
        out = 4 * width if deep else width
        if deep:
            self.conv1, self.bn1 = nn.Conv2d(inside, width, 1, bias=False), nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
            self.conv3, self.bn3 = nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out)
        else:
            self.conv1 = nn.Conv2d(inside, width, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2, self.deep = nn.BatchNorm2d(width), deep
        self.downsample: nn.Module | None = None
        if stride != 1 or inside != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        kept = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        if self.deep:
            x = self.bn3(self.conv3(F.relu(x)))
        return F.relu(x + kept)


class ResNet(nn.Module):
    """ResNet 18 to 152: one row of the blocks of each stage, and one that says 1 where blocks are deep."""

    def __init__(self, stages: Sequence[Sequence[int]]) -> None:
        super().__init__()
        counts, (deep,) = stages
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        inside = 64
        for stage, count in enumerate(counts):
            width, blocks = 64 << stage, []
            for place in range(count):
                stride = 2 if place == 0 and stage else 1
                blocks.append(ResBlock(inside, width, stride, deep=bool(deep)))
                inside = 4 * width if deep else width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.count = len(counts)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The maps ``[B, C, H, W]`` after each stage but the first, from pictures ``[B, 3, S, S]``."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        found = []
        for stage in range(self.count):
            x = self.get_submodule(f"layer{stage + 1}")(x)
            found.append(x)
        return found[1:]
