"""An ONNX graph as the image encoder: how its pictures are prepared, and one graph from pixels to features.

Its preparation stands in a JSON file beside it (``encoder.json`` for ``encoder.onnx``), or else in the
folder's ``preprocessor_config.json``, with the keys that Hugging Face uses: ``image_mean`` and
``image_std`` (of channels from 0 to 1), ``crop_size`` or ``size``; and of our own ``output`` (a name) and
``pool``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from artifacts.bundle.graphs import Graph, GraphError, open_graph
from artifacts.bundle.onnx_file import OnnxFileError, refuse_external_weights
from common.arrays import F32
from common.files import replacing
from models.towers.image_config import OnnxSpec
from models.training.pretrained.folder import PretrainedError, read_json

_PREPARATION = "preprocessor_config.json"
#: Opsets of the graph that is put together; older ones spell its operators in other ways.
_LEAST_OPSET = 13
_OWN = "given/"
_POOLS = ("none", "mean_map", "mean_tokens", "first")
_MAX_SIDE = 2048


class OnnxEncoder(nn.Module):
    """Pixels uint8 ``[B, S, S, 3]`` -> raw feature float32 ``[B, R]``, by a file of `write_encoder`."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        super().__init__()
        self.path, self._threads = path, threads
        self._graph: Graph | None = None

    def forward(self, pixels: Tensor) -> Tensor:
        """As the class says."""
        if self._graph is None:
            self._graph = open_graph(self.path, threads=self._threads)
        return torch.from_numpy(self._graph.run({"pixels": pixels.cpu().numpy()})["raw"])

    def __deepcopy__(self, memo: object) -> OnnxEncoder:
        return OnnxEncoder(self.path, self._threads)  # an opened session cannot be copied


def onnx_spec(path: Path) -> OnnxSpec:
    """What is known of an encoder after two grey pictures went through it.

    Raises:
        PretrainedError: a file is missing or no graph that can be used; the message says why.
    """
    if not path.is_file():
        raise PretrainedError(f"{path}: there is no such file")
    try:
        refuse_external_weights(path)
    except OnnxFileError as error:
        raise PretrainedError(f"{path}: {error}") from error
    said, file = _preparation(path)
    side = _side(said, file)
    graph = _open(path)
    inputs = graph.session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
        found = ", ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
        raise PretrainedError(f"{path}: reads {found}; expected one input, float [batch, 3, side, side]")
    given = inputs[0]
    last = given.shape[3] == 3 and given.shape[1] != 3
    rows, *sides = (given.shape[place] for place in ((0, 1, 2) if last else (0, 2, 3)))
    if isinstance(rows, int):
        raise PretrainedError(f"{path}: takes {rows} pictures at a time; export it with a dynamic batch axis")
    if fixed := [one for one in sides if isinstance(one, int) and one != side]:
        raise PretrainedError(f"{path}: takes pictures of {fixed[0]} pixels, {file.name} says {side}")
    grey = np.full((2, side, side, 3) if last else (2, 3, side, side), 0.5, dtype=np.float32)
    try:
        outputs = graph.run({given.name: grey})
    except Exception as error:  # onnxruntime raises its own
        raise PretrainedError(f"{path}: does not run on two pictures of {side} pixels: {error}") from error
    name = said.get("output") or next((n for n, v in outputs.items() if v.ndim == 2), next(iter(outputs)))
    value = outputs.get(name)
    if value is None:
        raise PretrainedError(f"{file}: output is {name!r}; {path.name} has {', '.join(outputs)}")
    pool = said.get("pool") or {2: "none", 3: "first", 4: "mean_map"}.get(value.ndim)
    if pool not in _POOLS or value.ndim != {"none": 2, "mean_map": 4}.get(str(pool), 3) or len(value) != 2:
        raise PretrainedError(
            f"{path}: {name} is {list(value.shape)} for two pictures, which pool {pool} does not read; "
            f"known are {', '.join(_POOLS)}"
        )
    return OnnxSpec(
        side=side,
        width=value.shape[1] if value.ndim in (2, 4) else value.shape[2],
        mean=_channels(said, "image_mean", file),
        std=_channels(said, "image_std", file),
        input=given.name,
        output=name,
        channels_last=last,
        pool=pool,  # type: ignore[arg-type]
    )


def write_encoder(path: Path, spec: OnnxSpec, target: Path) -> None:
    """Write the graph with its preparation before it and its pooling behind: ``pixels`` to ``raw``.

    Raises:
        PretrainedError: its operators are of a version that is too old.
    """
    import onnx
    from onnx import TensorProto, compose, helper, numpy_helper

    model = compose.add_prefix(onnx.load(path), _OWN)
    opset = _opset(model)
    if opset < _LEAST_OPSET:
        raise PretrainedError(f"{path}: is of opset {opset}; export it with {_LEAST_OPSET} or later")
    graph = model.graph
    shape = (1, 1, 1, 3) if spec.channels_last else (1, 3, 1, 1)
    std = np.array(spec.std, dtype=np.float64)
    scale = (1.0 / (255.0 * std)).astype(np.float32).reshape(shape)
    shift = (-np.array(spec.mean) / std).astype(np.float32).reshape(shape)
    ahead = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        *(
            []
            if spec.channels_last
            else [helper.make_node("Transpose", ["float"], ["first"], perm=[0, 3, 1, 2])]
        ),
        helper.make_node("Mul", ["float" if spec.channels_last else "first", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "shift"], [_OWN + spec.input]),
    ]
    graph.initializer.append(numpy_helper.from_array(scale, "scale"))
    graph.initializer.append(numpy_helper.from_array(shift, "shift"))
    behind = []
    if spec.pool == "first":
        graph.initializer.append(numpy_helper.from_array(np.array(0), "place"))
        behind = [helper.make_node("Gather", [_OWN + spec.output, "place"], ["raw"], axis=1)]
    elif spec.pool == "none":
        behind = [helper.make_node("Identity", [_OWN + spec.output], ["raw"])]
    else:
        axes = [2, 3] if spec.pool == "mean_map" else [1]
        behind = [_mean(graph, _OWN + spec.output, "raw", axes, opset, keep=False)]
    nodes = [*ahead, *graph.node, *behind]
    del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
    graph.node.extend(nodes)
    pixels: list[str | int | None] = ["B", spec.side, spec.side, 3]
    graph.input.append(helper.make_tensor_value_info("pixels", TensorProto.UINT8, pixels))
    graph.output.append(helper.make_tensor_value_info("raw", TensorProto.FLOAT, ["B", spec.width]))
    with replacing(target) as written:
        written.write_bytes(model.SerializeToString(deterministic=True))


def with_head(path: Path, centre: F32, components: F32, width: int) -> Any:
    """The graph of `write_encoder` with the head of a `GivenEncoder` behind: ``pixels`` to ``feature``.

    Args:
        path: the file.
        centre, components: ``[R]`` and ``[P, R]``; empty where the features are not cut down.
        width: P.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(path)
    graph, opset = model.graph, _opset(model)

    def constant(name: str, value: F32) -> str:
        graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    def node(kind: str, inputs: list[str], output: str) -> str:
        graph.node.append(helper.make_node(kind, inputs, [output]))
        return output

    def mean(name: str, output: str) -> str:
        graph.node.append(_mean(graph, name, output, [1], opset, keep=True))
        return output

    at = "raw"
    if len(components):
        at = node("Sub", [at, constant("centre", centre)], "away")
        at = node("MatMul", [at, constant("components", np.ascontiguousarray(components.T))], "cut")
    at = node("Sub", [at, mean(at, "level")], "even")
    square = mean(node("Mul", [at, at], "squares"), "variance")
    lifted = node("Add", [square, constant("epsilon", np.array(1e-5, dtype=np.float32))], "lifted")
    node("Div", [at, node("Sqrt", [lifted], "spread")], "feature")
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("feature", TensorProto.FLOAT, ["B", width]))
    return model


def _mean(graph: Any, name: str, output: str, axes: list[int], opset: int, *, keep: bool) -> Any:
    """A node for the mean over axes, which became an input with opset 18."""
    from onnx import helper, numpy_helper

    if opset < 18:
        return helper.make_node("ReduceMean", [name], [output], axes=axes, keepdims=int(keep))
    graph.initializer.append(numpy_helper.from_array(np.array(axes), f"{output}/axes"))
    return helper.make_node("ReduceMean", [name, f"{output}/axes"], [output], keepdims=int(keep))


def _opset(model: Any) -> int:
    return max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)


def _open(path: Path) -> Graph:
    try:
        return open_graph(path)
    except GraphError as error:
        raise PretrainedError(f"{path}: {error}") from error


def _preparation(path: Path) -> tuple[dict[str, Any], Path]:
    """What the file beside the graph says, and the file."""
    for file in (path.with_suffix(".json"), path.with_name(_PREPARATION)):
        if file.is_file():
            return read_json(file), file
    raise PretrainedError(
        f"{path}: nothing says how it wants pictures; write {path.with_suffix('.json').name} beside it: "
        '{"size": 224, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}'
    )


def _side(said: dict[str, Any], file: Path) -> int:
    for key in ("crop_size", "size"):
        value = said.get(key)
        if isinstance(value, dict):
            sides = {value.get(part) for part in ("height", "width", "shortest_edge")} - {None}
            value = sides.pop() if len(sides) == 1 else None
        if isinstance(value, int) and 1 <= value <= _MAX_SIDE:
            return value
    raise PretrainedError(
        f"{file}: size is {said.get('size')!r}, expected the side of square pictures, as in 224"
    )


def _channels(said: dict[str, Any], key: str, file: Path) -> tuple[float, float, float]:
    if not said.get("do_normalize", True):
        return (0.0, 0.0, 0.0) if key == "image_mean" else (1.0, 1.0, 1.0)
    values = said.get(key)
    good = isinstance(values, list) and len(values) == 3 and all(isinstance(v, int | float) for v in values)
    if not good or (key == "image_std" and min(values) <= 0):  # type: ignore[arg-type]
        raise PretrainedError(
            f"{file}: {key} is {values!r}, expected three numbers, for channels from 0 to 1"
        )
    return float(values[0]), float(values[1]), float(values[2])  # type: ignore[index]
