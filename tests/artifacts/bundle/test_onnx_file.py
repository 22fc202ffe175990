"""Weights in another file are found wherever a graph may name them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from artifacts.bundle import Bundle, BundleError, open_graph
from artifacts.bundle.graphs import GraphError
from artifacts.bundle.manifest import MANIFEST_NAME, file_entry
from artifacts.bundle.onnx_file import OnnxFileError, refuse_external_weights
from cli.demo_files import demo_bundle
from tests.support.bundle import make_bundle

IN, OUT = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("x", "y"))


def weight(external: bool) -> onnx.TensorProto:
    tensor = numpy_helper.from_array(np.arange(4, dtype=np.float32), "w")
    if external:
        set_external_data(tensor, "weights.bin", length=16)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
    return tensor


def model(nodes: list[onnx.NodeProto], **parts: list[onnx.TensorProto]) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "g", [IN], [OUT], **parts)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def add(weights: str = "w") -> onnx.NodeProto:
    return helper.make_node("Add", ["x", weights], ["y"])


def initializer(external: bool) -> onnx.ModelProto:
    return model([add()], initializer=[weight(external)])


def constant(external: bool) -> onnx.ModelProto:
    return model([helper.make_node("Constant", [], ["w"], value=weight(external)), add()])


def branch(external: bool) -> onnx.ModelProto:
    def inner(name: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, [4])
        node = helper.make_node("Identity", ["w"], [name])
        return helper.make_graph([node], name, [], [out], [weight(external)])

    yes = numpy_helper.from_array(np.array(True), "yes")
    chosen = helper.make_node("If", ["yes"], ["z"], then_branch=inner("a"), else_branch=inner("b"))
    return model([chosen, add("z")], initializer=[yes])


def function(external: bool) -> onnx.ModelProto:
    made = model([helper.make_node("Own", ["x"], ["y"], domain="own")])
    nodes = [helper.make_node("Constant", [], ["w"], value=weight(external)), add()]
    opsets = [helper.make_opsetid("", 17)]
    made.functions.append(helper.make_function("own", "Own", ["x"], ["y"], nodes, opsets))
    made.opset_import.append(helper.make_opsetid("own", 1))
    return made


@pytest.mark.parametrize("make", [initializer, constant, branch, function])
def test_weights_in_another_file_are_refused(tmp_path: Path, make: Callable[[bool], onnx.ModelProto]) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(16))
    file = tmp_path / "graph.onnx"
    file.write_bytes(make(False).SerializeToString())
    refuse_external_weights(file)
    open_graph(file)
    file.write_bytes(make(True).SerializeToString())
    with pytest.raises(OnnxFileError, match="weights in another file, which no checksum covers"):
        refuse_external_weights(file)
    with pytest.raises(GraphError, match=r"graph\.onnx has weights in another file"):
        open_graph(file)


def test_a_bundle_with_such_a_graph_is_refused_though_every_checksum_is_right(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundle", ["red shoe"])
    file = bundle.path / "item_fusion.onnx"
    graph = onnx.load(file)
    onnx.save(graph, file, save_as_external_data=True, location="weights.bin", size_threshold=0)
    files = {**bundle.manifest.files, file.name: file_entry(file)}
    changed = bundle.manifest.model_copy(update={"files": files, "version": ""}).versioned()
    (bundle.path / MANIFEST_NAME).write_text(changed.to_json(), encoding="utf-8")
    with pytest.raises(BundleError, match=r"item_fusion\.onnx has weights in another file"):
        Bundle.load(bundle.path)


def test_what_we_export_stands_alone_and_is_looked_at_quickly() -> None:
    files = list(demo_bundle().glob("*.onnx"))
    assert files
    start = time.thread_time()
    for file in files:
        refuse_external_weights(file)
    assert time.thread_time() - start < 2.0


def test_other_formats_and_empty_files_are_refused(tmp_path: Path) -> None:
    for name, reason in (("graph.ort", "another ending"), ("graph.onnx", "is empty")):
        (tmp_path / name).touch()
        with pytest.raises(OnnxFileError, match=reason):
            refuse_external_weights(tmp_path / name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.integers(0, 255), st.booleans())
def test_a_damaged_file_is_refused_or_harmless(tmp_path: Path, place: int, byte: int, cut: bool) -> None:
    data = bytearray(initializer(False).SerializeToString())
    data[place % len(data)] = byte
    file = tmp_path / "graph.onnx"
    file.write_bytes(bytes(data[: max(1, place % len(data))] if cut else data))
    try:
        refuse_external_weights(file)
    except OnnxFileError:
        return
    try:
        found = onnx.load(file, load_external_data=False)
    except Exception:
        return  # no model for anybody
    assert not any(w.external_data or w.data_location for w in found.graph.initializer)
