"""A ViT folder in Hugging Face layout: ViT itself, or the vision half of a CLIP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from artifacts.bundle.manifest import PictureSpec
from models.towers.image_config import VitShape
from models.towers.pretrained_vit import PretrainedVit
from models.training.pretrained.folder import PretrainedError, Weights, activation, number, read_json

#: Our layers, and where each family has them; those of a block behind its own name.
_LAYERS = {
    "vit": {"patches": ("embeddings.patch_embeddings.projection",), "norm": ("layernorm",)},
    "clip": {
        "patches": ("embeddings.patch_embedding",),
        "before": ("pre_layrnorm",),
        "norm": ("post_layernorm",),
    },
}
_TOKENS = {
    "vit": ("embeddings.cls_token", "embeddings.position_embeddings"),
    "clip": ("embeddings.class_embedding", "embeddings.position_embedding.weight"),
}
_BLOCKS = {"vit": "encoder.layer", "clip": "encoder.layers"}
#: Its biases are missing where the folder has ``qkv_bias`` false.
_QKV = "attention.qkv"
_BLOCK = {
    "vit": {
        _QKV: tuple(f"attention.attention.{part}" for part in ("query", "key", "value")),
        "attention.out": ("attention.output.dense",),
        "before_attention": ("layernorm_before",),
        "before_mlp": ("layernorm_after",),
        "mlp.0": ("intermediate.dense",),
        "mlp.2": ("output.dense",),
    },
    "clip": {
        _QKV: tuple(f"self_attn.{part}_proj" for part in "qkv"),
        "attention.out": ("self_attn.out_proj",),
        "before_attention": ("layer_norm1",),
        "before_mlp": ("layer_norm2",),
        "mlp.0": ("mlp.fc1",),
        "mlp.2": ("mlp.fc2",),
    },
}
_FAMILIES = {"vit": "vit", "clip": "clip", "clip_vision_model": "clip", "chinese_clip": "clip"}
#: CLIPs whose text tower is a BERT, so that ``experts.bert`` can be the same folder.
ALIGNED = ("chinese_clip",)


def vit_sizes(folder: Path, *, aligned: bool = False) -> tuple[VitShape, PictureSpec]:
    """What the folder decides of ``image`` and ``picture``.

    Args:
        folder: a ViT's, or a CLIP's for its vision half.
        aligned: whether its projection into the space of its texts is wanted too.

    Raises:
        PretrainedError: it is no ViT, or a value is missing.
    """
    file = folder / "config.json"
    content = read_json(file)
    family = _FAMILIES.get(str(content.get("model_type", "vit")))
    if family is None:
        raise PretrainedError(f"{file}: is a {content['model_type']}, expected one of {', '.join(_FAMILIES)}")
    projected = number(content, "projection_dim", file) if aligned else 0
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
        projected=projected,
        mean=_channels(prepared, "image_mean", 0.5),
        std=_channels(prepared, "image_std", 0.5),
    )
    if side % shape.patch:
        raise PretrainedError(f"{file}: pictures of {side} pixels are not made of patches of {shape.patch}")
    return shape, PictureSpec(side=side, feature_dim=projected or width)


def load_vit(folder: Path, shape: VitShape, picture: PictureSpec) -> PretrainedVit:
    """The ViT with its weights.

    Raises:
        PretrainedError: a weight is missing or has another shape.
    """
    vit, family = PretrainedVit(shape, picture), shape.family
    weights = Weights(folder, ("vit.", "vision_model."))
    for target, name in zip((vit.first, vit.position), _TOKENS[family], strict=True):
        weights.fill(target, name)
    weights.fill_layers(vit, _LAYERS[family])
    for place, block in enumerate(vit.blocks):
        weights.fill_layers(block, _BLOCK[family], f"{_BLOCKS[family]}.{place}.", _QKV)
    if shape.projected:
        weights.fill(vit.get_parameter("project.weight"), "visual_projection.weight")
    return vit.eval().requires_grad_(False)


def _channels(content: dict[str, Any], key: str, default: float) -> tuple[float, float, float]:
    if not content.get("do_normalize", True):
        return (0.0, 0.0, 0.0) if key == "image_mean" else (1.0, 1.0, 1.0)
    values = content.get(key, [default] * 3)
    return float(values[0]), float(values[1]), float(values[2])
