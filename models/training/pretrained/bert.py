"""A BERT folder in Hugging Face layout: its sizes, its tokenizer, and its weights in our layers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import BertWordPieceTokenizer, Tokenizer
from torch import nn

from artifacts.bundle.text import special_ids
from models.towers.config import Config
from models.towers.experts.config import BertShape
from models.towers.experts.transformer import BertEmbedding, TextTransformer
from models.towers.experts.vbert import VBert
from models.training.pretrained.folder import PretrainedError, Weights, activation, number, read_json
from models.training.pretrained.vit import ALIGNED

_log = logging.getLogger("mrse.training")

#: Layers of a `BertBlock`, and where the folder has them in one of its layers.
_BLOCK = {
    "attention.qkv": tuple(f"attention.self.{part}" for part in ("query", "key", "value")),
    "attention.out": ("attention.output.dense",),
    "after_attention": ("attention.output.LayerNorm",),
    "mlp.0": ("intermediate.dense",),
    "mlp.2": ("output.dense",),
    "after_mlp": ("output.LayerNorm",),
}


def bert_sizes(folder: Path, config: Config) -> dict[str, Any]:
    """What the folder decides of ``experts``.

    Raises:
        PretrainedError: it is no BERT, or has fewer layers or positions than are wanted.
    """
    file = folder / "config.json"
    content = read_json(file)
    kind = content.get("model_type", "bert")
    if kind in ALIGNED:
        kind, content = "bert", content.get("text_config", content)
    elif "text_config" in content:
        raise PretrainedError(
            f"{file}: is a {kind}, whose text tower is no BERT, as that of {', '.join(ALIGNED)} is; "
            "its vision half can be given as image.vit=FOLDER"
        )
    position = content.get("position_embedding_type", "absolute")
    if kind != "bert" or position != "absolute":
        raise PretrainedError(
            f"{file}: is a {kind} with {position} positions, expected a bert with absolute ones"
        )
    layers, width = number(content, "num_hidden_layers", file), number(content, "hidden_size", file)
    if config.experts.layers > layers:
        raise PretrainedError(f"{file}: has {layers} layers, experts.layers wants {config.experts.layers}")
    if config.experts.layers < layers:
        taken = config.experts.layers
        _log.info("%s of the %s layers of %s are taken; experts.layers says so", taken, layers, folder)
    longest = max(config.text.max_query_tokens, config.text.max_item_tokens)
    if longest > (positions := number(content, "max_position_embeddings", file)):
        raise PretrainedError(f"{file}: has {positions} positions, texts are up to {longest} tokens long")
    if config.experts.kind == "single":
        raise PretrainedError("experts.kind=single starts from no given weights")
    name = activation(content, file)
    if name == "quick_gelu":
        raise PretrainedError(f"{file}: hidden_act is quick_gelu, which no BERT has")
    return {
        "hidden": width,
        "heads": number(content, "num_attention_heads", file),
        "mlp_ratio": number(content, "intermediate_size", file) / width,
        "shape": BertShape(activation=name, norm_eps=float(content.get("layer_norm_eps", 1e-12))),  # type: ignore[arg-type]
    }


def bert_tokenizer(folder: Path) -> Tokenizer:
    """The folder's tokenizer: ``tokenizer.json``, or one made from ``vocab.txt``.

    Raises:
        PretrainedError: it has neither, or its special tokens are not BERT's with ``[PAD]`` as 0.
    """
    file, vocabulary = folder / "tokenizer.json", folder / "vocab.txt"
    try:
        if file.is_file():
            tokenizer = Tokenizer.from_file(str(file))
        elif vocabulary.is_file():
            settings = folder / "tokenizer_config.json"
            lower = read_json(settings).get("do_lower_case", True) if settings.is_file() else True
            made = BertWordPieceTokenizer(str(vocabulary), lowercase=bool(lower))
            tokenizer = Tokenizer.from_str(made.to_str())
        else:
            raise PretrainedError(f"{folder}: has no tokenizer.json and no vocab.txt")
        tokenizer.no_padding()
        tokenizer.no_truncation()
        special_ids(tokenizer)
    except PretrainedError:
        raise
    except Exception as error:  # the library raises plain Exceptions
        raise PretrainedError(f"{folder}: the tokenizer cannot be used: {error}") from error
    return tokenizer


def fill_bert(folder: Path, experts: Sequence[nn.Module]) -> None:
    """Start the transformers of some experts from the folder's first layers.

    Raises:
        PretrainedError: a weight is missing or has another shape.
    """
    weights = Weights(folder, ("bert.", "text_model."))
    for expert in experts:
        assert isinstance(expert, TextTransformer), "start='bert' is for text transformers"
        assert isinstance(expert.embed, BertEmbedding)
        _fill_embedding(weights, expert.embed)
        for place, block in enumerate(expert.blocks):
            weights.fill_layers(block, _BLOCK, f"encoder.layer.{place}.")


def fill_aligned(folder: Path, experts: Sequence[nn.Module]) -> None:
    """Start VBert as the CLIP of the folder: its texts and the features of its vision half in one space.

    Raises:
        PretrainedError: the projection of the texts is missing or has another shape.
    """
    weights = Weights(folder, ())
    for expert in experts:
        if isinstance(expert, VBert) and expert.told is not None:
            told = torch.empty(expert.straight.in_features, expert.told.in_features)
            weights.fill(told, "text_projection.weight")
            expert.align(told)


def _fill_embedding(weights: Weights, embed: BertEmbedding) -> None:
    words = weights.take("embeddings.word_embeddings.weight")
    positions = weights.take("embeddings.position_embeddings.weight")
    segments = weights.take("embeddings.token_type_embeddings.weight")
    rows, width = embed.token.weight.shape
    if words.shape[0] < rows or words.shape[1] != width:
        raise PretrainedError(
            f"{weights.file}: word embeddings are {tuple(words.shape)}, the tokenizer has {rows} tokens"
        )
    with torch.no_grad():
        embed.token.weight.copy_(words[:rows])
        embed.position.copy_(positions[: len(embed.position)] + segments[0])
    weights.fill_layers(embed, {"norm": ("embeddings.LayerNorm",)})
