"""A tiny bundle made without torch: real ONNX graphs, real checksums, real canonical outputs.

Queries and items share random token tables, so that a query lies close to items that share its words,
and the mean colour of a picture lies close to items with a picture of that colour. Written in a fraction
of a second; nothing about it is a stand-in as far as onnxruntime and `Bundle.load` can tell.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from artifacts.actions import ACTIONS
from artifacts.bundle import Bundle, ItemText, PortraitBatch, TextFeatures, open_graph
from artifacts.bundle.manifest import (
    CANONICAL_NAME,
    MANIFEST_NAME,
    TOKENIZER_NAME,
    CoClickSpec,
    Dimensions,
    Manifest,
    PictureSpec,
    Preprocessing,
    Role,
    TextSpec,
    file_entry,
)
from artifacts.bundle.signatures import (
    SIGNATURES,
    Tensor,
    expert_inputs,
    named_inputs,
    query_fusion_inputs,
)
from artifacts.bundle.text import SPECIAL_TOKENS, normalise, words
from common.arrays import Arrays

D, DIM, PICTURE = 16, 48, 8
DIMENSIONS = Dimensions(experts=("vbert", "light_bert", "ftatt"), expert_dim=D, embedding_dim=DIM, history=8)
TEXT = TextSpec(max_query_tokens=12, max_item_tokens=32, ngram_buckets=512, ngrams_per_word=12)
PREPROCESSING = Preprocessing(
    held_out=0.05, same_item_days=1.0, coclicks=CoClickSpec(top=10, following=5, cosine=False)
)
PICTURES = PictureSpec(side=16, feature_dim=PICTURE)
_OPSET = 17
FILES: dict[Role, str] = {
    "query_experts": "experts.onnx",
    "item_experts": "experts.onnx",
    "query_fusion": "query_fusion.onnx",
    "item_fusion": "item_fusion.onnx",
    "image_encoder": "image_encoder.onnx",
}


def make_bundle(
    path: Path, texts: list[str], *, seed: int = 1, name: str = "tiny", interests: bool = False
) -> Bundle:
    """Write a bundle whose vocabulary is the words of ``texts``; another seed is another bundle version.

    With ``interests`` it gives two of a user: what the newest and the oldest behaviour was on.
    """
    path.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    tokenizer = _tokenizer(texts)
    tokenizer.save(str(path / TOKENIZER_NAME))
    graphs = {
        "experts.onnx": _experts(rng, tokenizer.get_vocab_size()),
        "query_fusion.onnx": _query_fusion(
            shared := rng.normal(size=(3 * D, DIM)).astype(np.float32), interests
        ),
        "item_fusion.onnx": _item_fusion(shared),
        "image_encoder.onnx": _image_encoder(rng),
    }
    for file, graph in graphs.items():
        (path / file).write_bytes(_model(graph).SerializeToString())
    _canonical(path, TextFeatures(tokenizer, TEXT), rng)
    manifest = Manifest(
        name=name,
        version="",
        dimensions=DIMENSIONS,
        text=TEXT,
        picture=PICTURES,
        behaviours=ACTIONS.behaviours,
        files={f.name: file_entry(f) for f in sorted(path.iterdir())},
        graphs={role: {"fp32": file} for role, file in FILES.items()},
        preprocessing=PREPROCESSING,
        training={"seed": seed},
    ).versioned()
    (path / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return Bundle.load(path)


def _tokenizer(texts: list[str]) -> Tokenizer:
    vocabulary = {token: place for place, token in enumerate(SPECIAL_TOKENS)}
    for text in texts:
        for word in words(normalise(text)):
            vocabulary.setdefault(word, len(vocabulary))
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


class _Graph:
    """Collects nodes and weights."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def const(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def build(self, role: Role, *optional: str) -> Any:
        """The graph; of the inputs and outputs that it may do without it has those that are named."""
        signature = SIGNATURES[role]
        left_out = signature.optional - set(optional)
        inputs, outputs = (
            [_value_info(*named) for named in tensors.items() if named[0] not in left_out]
            for tensors in (signature.inputs, signature.outputs)
        )
        return helper.make_graph(self.nodes, self.name, inputs, outputs, self.weights)


def _value_info(name: str, tensor: Tensor) -> onnx.ValueInfoProto:
    sizes = {"E": len(DIMENSIONS.experts), "N": 2, "D": D, "V": DIM, "P": PICTURE, "S": PICTURES.side, "C": 3}
    shape = [sizes.get(axis, axis) for axis in tensor.axes]
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)), shape)


def _model(graph: Any) -> onnx.ModelProto:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def _masked_mean(g: _Graph, ids: str, table: str, axes: list[int], output: str) -> str:
    """Mean of the table's rows over the ids that are not 0."""
    rows = g.add("Gather", [table, ids], f"{output}_rows")
    mask = g.add(
        "Cast", [g.add("Greater", [ids, "zero"], f"{output}_gt")], f"{output}_m", to=TensorProto.FLOAT
    )
    mask = g.add("Unsqueeze", [mask, "last"], f"{output}_mask")
    axis = g.const(f"{output}_axes", axes, np.int64)
    masked = g.add("Mul", [rows, mask], f"{output}_masked")
    total = g.add("ReduceSum", [masked, axis], f"{output}_sum", keepdims=0)
    count = g.add("ReduceSum", [mask, axis], f"{output}_count", keepdims=0)
    return g.add("Div", [total, g.add("Max", [count, "one"], f"{output}_n")], output)


def _experts(rng: np.random.Generator, vocabulary: int) -> Any:
    g = _Graph("experts")
    g.const("zero", 0, np.int64)
    g.const("one", 1.0)
    g.const("last", [-1], np.int64)
    g.const("expert_axis", [1], np.int64)
    tokens = rng.normal(size=(2, vocabulary, D))
    tokens[:, : len(SPECIAL_TOKENS)] *= 0.05  # [CLS], [SEP] and unknown words say little
    g.const("vbert_table", tokens[0])
    g.const("light_table", tokens[1])
    g.const("ngram_table", rng.normal(size=(TEXT.ngram_buckets, D)))
    g.const("picture_weight", rng.normal(scale=0.1, size=(PICTURE, D)))
    text = _masked_mean(g, "input_ids", "vbert_table", [1], "vbert_text")
    adapted = g.add("MatMul", ["picture", "picture_weight"], "adapted")
    seen = g.add("Unsqueeze", ["has_picture", "last"], "seen")
    vbert = g.add("Add", [text, g.add("Mul", [adapted, seen], "visual")], "vbert")
    light = _masked_mean(g, "input_ids", "light_table", [1], "light")
    ftatt = _masked_mean(g, "ngram_ids", "ngram_table", [1, 2], "ftatt")
    parts = [g.add("Unsqueeze", [part, "expert_axis"], f"{part}_1") for part in (vbert, light, ftatt)]
    g.add("Concat", parts, "experts", axis=1)
    return g.build("query_experts")


def _unit_embedding(g: _Graph, experts: str, shared: np.ndarray[Any, Any]) -> None:
    g.const("weight", shared)
    flat = g.add("Reshape", [experts, g.const("flat_shape", [0, 3 * D], np.int64)], "flat")
    projected = g.add("MatMul", [flat, "weight"], "projected")
    norm = g.add("ReduceL2", [projected], "norm", axes=[1], keepdims=1)
    g.add("Div", [projected, g.add("Max", [norm, g.const("tiny", 1e-6)], "safe_norm")], "embedding")


def _query_fusion(shared: np.ndarray[Any, Any], interests: bool) -> Any:
    """Experts plus a fraction of the mean of the history, younger behaviours counting more."""
    g = _Graph("query_fusion")
    g.const("zero", 0, np.int64)
    g.const("one", 1.0)
    g.const("some", 0.3)
    g.const("month", 30.0)
    g.const("tail", [2, 3], np.int64)
    g.const("history_axis", [1], np.int64)
    known = g.add("Cast", [g.add("Greater", ["behaviour", "zero"], "b_gt")], "known", to=TensorProto.FLOAT)
    age = g.add("Add", [g.add("Div", ["age_days", "month"], "months"), "one"], "age")
    weight = g.add("Unsqueeze", [g.add("Div", [known, age], "w_flat"), "tail"], "w")
    total = g.add(
        "ReduceSum", [g.add("Mul", ["portrait", "w"], "weighted"), "history_axis"], "total", keepdims=0
    )
    mass = g.add("ReduceSum", [weight, "history_axis"], "mass", keepdims=0)
    mean = g.add("Div", [total, g.add("Add", [mass, "one"], "mass_1")], "mean")
    mixed = g.add("Add", ["experts", g.add("Mul", [mean, "some"], "taste")], "mixed")
    _unit_embedding(g, mixed, shared)
    strength = g.add("ReduceL2", [mixed], "strength", axes=[2], keepdims=0)
    g.add("Softmax", [strength], "gate", axis=1)
    if not interests:
        return g.build("query_fusion")
    g.add("ReduceMax", [g.add("Mul", ["known", "some"], "pulled")], "pull", axes=[1], keepdims=0)
    ends = g.add("Gather", ["portrait", g.const("ends", [0, -1], np.int64)], "both", axis=1)
    flat = g.add("Reshape", [ends, g.const("ends_shape", [0, 2, 3 * D], np.int64)], "both_flat")
    found = g.add("MatMul", [flat, "weight"], "both_projected")
    norm = g.add("ReduceL2", [found], "both_norm", axes=[2], keepdims=1)
    g.add("Div", [found, g.add("Max", [norm, "tiny"], "both_safe")], "interests")
    return g.build("query_fusion", "pull", "interests")


def _item_fusion(shared: np.ndarray[Any, Any]) -> Any:
    g = _Graph("item_fusion")
    g.const("some", 0.1)
    mixed = g.add("Add", ["features", g.add("Mul", ["coclick", "some"], "friends")], "mixed")
    _unit_embedding(g, mixed, shared)
    return g.build("item_fusion")


def _image_encoder(rng: np.random.Generator) -> Any:
    g = _Graph("image_encoder")
    g.const("white", 255.0)
    g.const("weight", rng.normal(size=(3, PICTURE)))
    real = g.add("Cast", ["pixels"], "real", to=TensorProto.FLOAT)
    mean = g.add("ReduceMean", [g.add("Div", [real, "white"], "scaled")], "mean", axes=[1, 2], keepdims=0)
    g.add("MatMul", [mean, "weight"], "feature")
    return g.build("image_encoder")


def _canonical(path: Path, text: TextFeatures, rng: np.random.Generator) -> None:
    batch = text.items([ItemText("red running shoes", "Shoes > Running"), ItemText("plain cup")])
    experts_in = expert_inputs(batch, [rng.normal(size=PICTURE).astype(np.float32), None], PICTURE)
    portraits = PortraitBatch(
        rng.normal(size=(2, 4, 3, D)).astype(np.float32),
        np.asarray([[1, 2, 3, 0], [0, 0, 0, 0]], dtype=np.int64),
        rng.uniform(0, 30, size=(2, 4)).astype(np.float32),
    )
    experts, features = (rng.normal(size=(2, 3, D)).astype(np.float32) for _ in range(2))
    pixels = rng.integers(0, 256, size=(2, PICTURES.side, PICTURES.side, 3), dtype=np.uint8)
    inputs: dict[Role, Arrays] = {
        "query_experts": experts_in,
        "item_experts": experts_in,
        "query_fusion": query_fusion_inputs(experts, portraits, items=False),
        "item_fusion": named_inputs("item_fusion", features, np.zeros_like(features)),
        "image_encoder": named_inputs("image_encoder", pixels),
    }
    arrays: dict[str, Any] = {}
    for role, values in inputs.items():
        outputs = open_graph(path / FILES[role]).run(values)
        arrays |= {f"{role}/in/{name}": value for name, value in values.items()}
        arrays |= {f"{role}/out/{name}": value for name, value in outputs.items()}
    np.savez(path / CANONICAL_NAME, **arrays)
