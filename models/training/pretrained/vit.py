"""A ViT folder in Hugging Face layout: ViT itself, or the vision half of a CLIP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from artifacts.bundle.manifest import PictureSpec
from models.towers.config import VitShape
from models.towers.pretrained_vit import PretrainedVit, VitBlock
from models.training.pretrained.folder import PretrainedError, Weights, activation, number, read_json

#: Where a weight of ours lies in each family; blocks are numbered.
_NAMES = {
    "vit": {
        "first": "embeddings.cls_token",
        "position": "embeddings.position_embeddings",
        "patches": "embeddings.patch_embeddings.projection",
        "norm": "layernorm",
        "block": "encoder.layer",
        "parts": ("attention.attention.query", "attention.attention.key", "attention.attention.value"),
        "out": "attention.output.dense",
        "norms": ("layernorm_before", "layernorm_after"),
        "mlp": ("intermediate.dense", "output.dense"),
    },
    "clip": {
        "first": "embeddings.class_embedding",
        "position": "embeddings.position_embedding.weight",
        "patches": "embeddings.patch_embedding",
        "before": "pre_layrnorm",
        "norm": "post_layernorm",
        "block": "encoder.layers",
        "parts": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "out": "self_attn.out_proj",
        "norms": ("layer_norm1", "layer_norm2"),
        "mlp": ("mlp.fc1", "mlp.fc2"),
    },
}
_FAMILIES = {"vit": "vit", "clip": "clip", "clip_vision_model": "clip"}


def vit_sizes(folder: Path) -> tuple[VitShape, PictureSpec]:
    """What the folder decides of ``image`` and ``picture``.

    Raises:
        PretrainedError: it is no ViT, or a value is missing.
    """
    file = folder / "config.json"
    content = read_json(file)
    family = _FAMILIES.get(str(content.get("model_type", "vit")))
    if family is None:
        raise PretrainedError(f"{file}: is a {content['model_type']}, expected one of {', '.join(_FAMILIES)}")
    content = content.get("vision_config", content)
    prepared = read_json(folder / "preprocessor_config.json")
    width, side = number(content, "hidden_size", file), number(content, "image_size", file)
    clip = family == "clip"
    shape = VitShape(
        family=family,  # type: ignore[arg-type]
        width=width,
        depth=number(content, "num_hidden_layers", file),
        heads=number(content, "num_attention_heads", file),
        hidden=number(content, "intermediate_size", file),
        patch=number(content, "patch_size", file),
        activation=activation(content, file, "quick_gelu" if clip else "gelu"),  # type: ignore[arg-type]
        norm_eps=float(content.get("layer_norm_eps", 1e-5 if clip else 1e-12)),
        mean=_channels(prepared, "image_mean", 0.5),
        std=_channels(prepared, "image_std", 0.5),
    )
    if side % shape.patch:
        raise PretrainedError(f"{file}: pictures of {side} pixels are not made of patches of {shape.patch}")
    return shape, PictureSpec(side=side, feature_dim=width)


def load_vit(folder: Path, shape: VitShape, picture: PictureSpec) -> PretrainedVit:
    """The ViT with its weights.

    Raises:
        PretrainedError: a weight is missing or has another shape.
    """
    vit, names = PretrainedVit(shape, picture), _NAMES[shape.family]
    weights = Weights(folder, ("vit.", "vision_model."))
    _filled(weights, vit.first, str(names["first"]))
    _filled(weights, vit.position, str(names["position"]))
    weights.linear(vit.patches, str(names["patches"]))
    if "before" in names:
        weights.linear(vit.before, str(names["before"]))
    weights.linear(vit.norm, str(names["norm"]))
    for place, block in enumerate(vit.blocks):
        assert isinstance(block, VitBlock)
        own = f"{names['block']}.{place}"
        _linear(weights, block.attention.qkv, [f"{own}.{part}" for part in names["parts"]])
        weights.linear(block.attention.out, f"{own}.{names['out']}")
        weights.linear(block.before_attention, f"{own}.{names['norms'][0]}")
        weights.linear(block.before_mlp, f"{own}.{names['norms'][1]}")
        weights.linear(block.mlp[0], f"{own}.{names['mlp'][0]}")
        weights.linear(block.mlp[2], f"{own}.{names['mlp'][1]}")
    return vit.eval().requires_grad_(False)


def _linear(weights: Weights, layer: Any, names: list[str]) -> None:
    """As `Weights.linear`, for a layer that may come without biases (``qkv_bias`` false)."""
    if f"{names[0]}.bias" in weights:
        weights.linear(layer, *names)
        return
    weights.fill(layer.weight, *(f"{name}.weight" for name in names))
    torch.nn.init.zeros_(layer.bias)


def _filled(weights: Weights, target: torch.Tensor, name: str) -> None:
    """As `Weights.fill`, for a weight that has axes of length 1 ahead of ours."""
    value = weights.take(name)
    if value.numel() != target.numel():
        raise PretrainedError(
            f"{weights.file}: {name!r} has shape {tuple(value.shape)}, expected {tuple(target.shape)}"
        )
    with torch.no_grad():
        target.copy_(value.reshape(target.shape))


def _channels(content: dict[str, Any], key: str, default: float) -> tuple[float, float, float]:
    if not content.get("do_normalize", True):
        return (0.0, 0.0, 0.0) if key == "image_mean" else (1.0, 1.0, 1.0)
    values = content.get(key, [default] * 3)
    return float(values[0]), float(values[1]), float(values[2])
