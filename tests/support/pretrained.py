"""Tiny models in Hugging Face layout with random weights, and what torch's own layers make of them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import BertWordPieceTokenizer
from torch import Tensor, nn

from models.towers.image_config import CnnShape
from models.towers.pretrained_cnn import PretrainedCnn

WORDS = ("red", "blue", "shoe", "shirt", "dress", "running", "##s", "a", "b", "##a", "##b")
WIDTH, HEADS, HIDDEN, EPS = 32, 4, 48, 1e-7


def weights(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """Random tensors; norms lie around 1."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in shapes.items()}
    return {n: t + 1.0 if "orm" in n.split(".")[-2] and n.endswith("weight") else t for n, t in drawn.items()}


def _linear(name: str, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def _norm(name: str) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (WIDTH,), f"{name}.bias": (WIDTH,)}


def write_bert(
    folder: Path, *, layers: int = 3, prefix: str = "", json_tokenizer: bool = True
) -> dict[str, Tensor]:
    """A BERT folder; gives its weights without the prefix."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary += [chr(c) for c in range(ord("a"), ord("z") + 1) if chr(c) not in "ab"] + list(WORDS)
    vocabulary += [f"##{chr(c)}" for c in range(ord("c"), ord("z") + 1) if chr(c) != "s"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    if json_tokenizer:
        BertWordPieceTokenizer(str(folder / "vocab.txt")).save(str(folder / "tokenizer.json"))
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(vocabulary), WIDTH),
        "embeddings.position_embeddings.weight": (64, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        **_norm("embeddings.LayerNorm"),
    }
    for layer in range(layers):
        own = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            shapes |= _linear(f"{own}.attention.self.{part}", WIDTH, WIDTH)
        shapes |= _linear(f"{own}.attention.output.dense", WIDTH, WIDTH)
        shapes |= _norm(f"{own}.attention.output.LayerNorm") | _norm(f"{own}.output.LayerNorm")
        shapes |= _linear(f"{own}.intermediate.dense", HIDDEN, WIDTH)
        shapes |= _linear(f"{own}.output.dense", WIDTH, HIDDEN)
    made = weights(shapes, 5)
    settings = {
        "model_type": "bert",
        "hidden_size": WIDTH,
        "num_attention_heads": HEADS,
        "intermediate_size": HIDDEN,
        "num_hidden_layers": layers,
        "max_position_embeddings": 64,
        "hidden_act": "gelu",
        "layer_norm_eps": EPS,
    }
    (folder / "config.json").write_text(json.dumps(settings))
    torch.save({prefix + name: tensor for name, tensor in made.items()}, folder / "pytorch_model.bin")
    return made


def bert_states(made: dict[str, Tensor], ids: Tensor, *, layers: int, heads: int, eps: float) -> Tensor:
    """Hidden states ``[B, L, w]`` by torch's own encoder layers; 0 is padding."""
    x = made["embeddings.word_embeddings.weight"][ids]
    x = x + made["embeddings.position_embeddings.weight"][: ids.shape[1]]
    x = x + made["embeddings.token_type_embeddings.weight"][0]
    width = x.shape[-1]
    norm = made["embeddings.LayerNorm.weight"], made["embeddings.LayerNorm.bias"]
    x = nn.functional.layer_norm(x, (width,), *norm, eps)
    for layer in range(layers):
        own = f"encoder.layer.{layer}"
        hidden = made[f"{own}.intermediate.dense.bias"].shape[0]
        reference = nn.TransformerEncoderLayer(
            width, heads, hidden, 0.0, "gelu", eps, batch_first=True, norm_first=False
        ).eval()
        attention = f"{own}.attention"
        state = {"self_attn.out_proj": f"{attention}.output.dense", "norm1": f"{attention}.output.LayerNorm"}
        state |= {"linear1": f"{own}.intermediate.dense", "linear2": f"{own}.output.dense"}
        state |= {"norm2": f"{own}.output.LayerNorm"}
        load = {f"{to}.{p}": made[f"{name}.{p}"] for to, name in state.items() for p in ("weight", "bias")}
        for p in ("weight", "bias"):
            parts = [made[f"{attention}.self.{part}.{p}"] for part in ("query", "key", "value")]
            load[f"self_attn.in_proj_{p}"] = torch.cat(parts)
        reference.load_state_dict(load)
        with torch.no_grad():
            x = reference(x, src_key_padding_mask=ids == 0)
    return x


VIT = {
    "vit": {
        "first": "embeddings.cls_token",
        "position": "embeddings.position_embeddings",
        "patches": "embeddings.patch_embeddings.projection",
        "last": "layernorm",
        "block": "encoder.layer.{}",
        "qkv": ("attention.attention.query", "attention.attention.key", "attention.attention.value"),
        "rest": ("attention.output.dense", "intermediate.dense", "output.dense"),
        "norms": ("layernorm_before", "layernorm_after"),
    },
    "clip": {
        "first": "vision_model.embeddings.class_embedding",
        "position": "vision_model.embeddings.position_embedding.weight",
        "patches": "vision_model.embeddings.patch_embedding",
        "last": "vision_model.post_layernorm",
        "block": "vision_model.encoder.layers.{}",
        "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "rest": ("self_attn.out_proj", "mlp.fc1", "mlp.fc2"),
        "norms": ("layer_norm1", "layer_norm2"),
    },
}
SIDE, PATCH, MEAN, STD = 32, 8, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def write_vit(folder: Path, family: str = "vit", layers: int = 2) -> dict[str, Tensor]:
    """A ViT folder; gives its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    names = VIT[family]
    places = 1 + (SIDE // PATCH) ** 2
    clip = family == "clip"
    shapes: dict[str, tuple[int, ...]] = {
        str(names["first"]): (WIDTH,) if clip else (1, 1, WIDTH),
        str(names["position"]): (places, WIDTH) if clip else (1, places, WIDTH),
        f"{names['patches']}.weight": (WIDTH, 3, PATCH, PATCH),
        **_norm(str(names["last"])),
    }
    shapes |= _norm("vision_model.pre_layrnorm") if clip else {f"{names['patches']}.bias": (WIDTH,)}
    for layer in range(layers):
        own = str(names["block"]).format(layer)
        for part in names["qkv"]:
            shapes |= _linear(f"{own}.{part}", WIDTH, WIDTH)
        out, up, down = names["rest"]
        shapes |= _linear(f"{own}.{out}", WIDTH, WIDTH) | _linear(f"{own}.{up}", HIDDEN, WIDTH)
        shapes |= _linear(f"{own}.{down}", WIDTH, HIDDEN)
        for norm in names["norms"]:
            shapes |= _norm(f"{own}.{norm}")
    made = weights(shapes, 6)
    sizes = {
        "model_type": "clip_vision_model" if clip else "vit",
        "hidden_size": WIDTH,
        "num_attention_heads": HEADS,
        "intermediate_size": HIDDEN,
        "num_hidden_layers": layers,
        "image_size": SIDE,
        "patch_size": PATCH,
        "hidden_act": "quick_gelu" if clip else "gelu",
        "layer_norm_eps": EPS,
    }
    (folder / "config.json").write_text(json.dumps(sizes))
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": MEAN, "image_std": STD}))
    torch.save(made, folder / "pytorch_model.bin")
    return made


def vit_states(made: dict[str, Tensor], family: str, pixels: Tensor, layers: int = 2) -> Tensor:
    """States after the last norm ``[B, 1 + patches, w]`` by torch's own encoder layers."""
    names, clip = VIT[family], family == "clip"
    pictures = pixels.permute(0, 3, 1, 2) / 255.0
    pictures = (pictures - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    weight, bias = made[f"{names['patches']}.weight"], made.get(f"{names['patches']}.bias")
    x = nn.functional.conv2d(pictures, weight, bias, stride=PATCH).flatten(2).transpose(1, 2)
    first = made[str(names["first"])].reshape(1, 1, WIDTH).expand(len(x), 1, WIDTH)
    x = torch.cat([first, x], dim=1) + made[str(names["position"])].reshape(1, -1, WIDTH)

    def normed(x: Tensor, name: str) -> Tensor:
        return nn.functional.layer_norm(x, (WIDTH,), made[f"{name}.weight"], made[f"{name}.bias"], EPS)

    def quick(x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)

    x = normed(x, "vision_model.pre_layrnorm") if clip else x
    for layer in range(layers):
        own = str(names["block"]).format(layer)
        reference = nn.TransformerEncoderLayer(
            WIDTH, HEADS, HIDDEN, 0.0, quick if clip else "gelu", EPS, batch_first=True, norm_first=True
        ).eval()
        into = ("self_attn.out_proj", "linear1", "linear2", "norm1", "norm2")
        pairs = dict(zip(into, (*names["rest"], *names["norms"]), strict=True))
        load = {f"{to}.{p}": made[f"{own}.{n}.{p}"] for to, n in pairs.items() for p in ("weight", "bias")}
        for p in ("weight", "bias"):
            load[f"self_attn.in_proj_{p}"] = torch.cat([made[f"{own}.{part}.{p}"] for part in names["qkv"]])
        reference.load_state_dict(load)
        with torch.no_grad():
            x = reference(x)
    return normed(x, str(names["last"]))


_EVEN = (0.5, 0.5, 0.5)
#: A narrow EfficientNet-Lite and the smallest ResNet.
LITE = CnnShape(
    family="efficientnet_lite",
    stages=(
        (8, 24),
        (1, 3, 1, 1, 4),
        (1, 3, 2, 6, 6),
        (2, 5, 2, 6, 8),
        (1, 3, 2, 6, 10),
        (2, 5, 1, 6, 12),
        (1, 5, 2, 6, 14),
        (1, 3, 1, 6, 16),
    ),
    width=8 + 12 + 24,
    mean=(127 / 255,) * 3,
    std=(128 / 255,) * 3,
)
RESNET = CnnShape(
    family="resnet",
    stages=((1, 1, 1, 1), (0,)),
    width=128 + 256 + 512,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)


def write_cnn(path: Path, shape: CnnShape = LITE, prefix: str = "") -> PretrainedCnn:
    """A state dict of random weights with norms that have seen pictures; gives the network."""
    torch.manual_seed(4)
    cnn = PretrainedCnn(shape)
    for module in cnn.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({prefix + name: weight for name, weight in cnn.net.state_dict().items()}, path)
    return cnn.eval()
