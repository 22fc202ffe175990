"""torch modules to ONNX files: dynamic axes, no traces of the machine in the bytes, int8 for the experts."""

from __future__ import annotations

import copy
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

from common.arrays import F32, Arrays

OPSET = 20

#: What to quantise, smallest file first; the first that keeps the cosine wins (*inferred*).
INT8_CHOICES: tuple[tuple[str, ...], ...] = (("MatMul", "Gather"), ("MatMul",))


class _Named(nn.Module):
    """Gives a module's outputs as a tuple."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        result = self.module(*inputs)
        return result if isinstance(result, tuple) else (result,)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter and the quantiser, whose warnings and logs are not for our users."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)


@cache
def _torchlib(read: Callable[..., Any], *asked: Any, **named: Any) -> Any:
    """What torch's operators are in ONNX, as ``read`` makes it of the sources of torchlib."""
    return read(*asked, **named)


@contextmanager
def _torchlib_once() -> Iterator[None]:
    """Let torch's exporter read torchlib once a process; for each graph it would take 0.8 s more.

    A torch that keeps it elsewhere reads it for each graph, as before.
    """
    try:
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        kept = vars(ONNXRegistry)["from_torchlib"]
    except (ImportError, KeyError):
        yield
        return
    read = ONNXRegistry.from_torchlib
    once = staticmethod(partial(_torchlib, read))
    ONNXRegistry.from_torchlib = once  # type: ignore[method-assign]
    try:
        yield
    finally:
        ONNXRegistry.from_torchlib = kept  # type: ignore[method-assign]


def write_graph(
    module: nn.Module,
    inputs: Arrays,
    outputs: Sequence[str],
    dynamic: Mapping[str, Mapping[int, str]],
    path: Path,
) -> None:
    """Export a module to a file, in eval mode.

    Args:
        inputs: example arrays by input name, in the order of ``forward``; every dynamic axis at least 2.
        outputs: names of the outputs.
        dynamic: for each input its dynamic axes by name.
    """
    module.eval()
    dims = {name: torch.export.Dim(name) for axes in dynamic.values() for name in axes.values()}
    shapes = tuple({axis: dims[name] for axis, name in dynamic[key].items()} for key in inputs)
    with _quiet(), _torchlib_once(), torch.no_grad():
        program = torch.onnx.export(
            _Named(module),
            _tensors(inputs),
            dynamo=True,
            dynamic_shapes=(shapes,),
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    write_model(program.model_proto, path)


def write_model(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph without what tells of its exporter."""
    path.write_bytes(_clean(model).SerializeToString(deterministic=True))


def quantise(source: Path, target: Path, operators: Sequence[str]) -> None:
    """Dynamic int8 quantisation of an fp32 graph, per channel."""
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "int8.onnx"
        quantize_dynamic(
            source, raw, op_types_to_quantize=list(operators), per_channel=True, weight_type=QuantType.QInt8
        )
        target.write_bytes(_clean(onnx.load(raw)).SerializeToString(deterministic=True))


def run_module(module: nn.Module, inputs: Arrays, outputs: Sequence[str]) -> dict[str, F32]:
    """torch's outputs for the same inputs, in eval mode."""
    with torch.no_grad():
        values = _Named(module.eval())(*_tensors(inputs))
    return {name: value.numpy() for name, value in zip(outputs, values, strict=True)}


def rounding(module: nn.Module, inputs: Arrays, outputs: Sequence[str]) -> dict[str, float]:
    """How far torch's own float32 outputs lie from those in float64, at most, by name.

    That is what a network's depth and the size of its weights make of float32; no other runtime does better.
    Zeros where a module insists on float32 inside: then it is not known.
    """
    exact = copy.deepcopy(module).double()
    wide = {
        name: value.astype(np.float64) if value.dtype == np.float32 else value
        for name, value in inputs.items()
    }
    found = run_module(module, inputs, outputs)
    try:
        true = run_module(exact, wide, outputs)
    except RuntimeError:  # torch's word for two types that do not go together
        return dict.fromkeys(outputs, 0.0)
    return {name: float(np.abs(found[name] - true[name]).max(initial=0.0)) for name in outputs}


def _tensors(inputs: Arrays) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(np.array(array, order="C")) for array in inputs.values())


def _clean(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop stack traces, file paths and names of the exporter: equal models must be equal bytes."""
    model.producer_version = ""
    graph = model.graph
    # Inner shapes name the exporter's symbols; onnxruntime infers them again.
    del graph.value_info[:]
    parts = [*graph.node, *graph.input, *graph.output, *graph.initializer, *model.functions]
    for part in (model, graph, *parts, *(node for function in model.functions for node in function.node)):
        part.doc_string = ""
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
    return model
