"""An ONNX encoder: its preparation, what is refused, and the one graph that is served."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from artifacts.bundle import Bundle, open_graph
from models.export.bundle import export
from models.towers import preset
from models.towers.given_encoder import GivenEncoder
from models.training import train
from models.training.pretrained import PretrainedError
from models.training.pretrained.onnx_encoder import OnnxEncoder, onnx_spec, with_head, write_encoder

SIDE, WIDTH = 16, 12
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def write_graph(
    folder: Path,
    *,
    ndim: int = 4,
    last: bool = False,
    opset: int = 17,
    rows: object = "N",
    name: str = "pixels",
    said: dict[str, Any] | None = None,
) -> Path:
    """A convolution: its map, its places as tokens, or their mean; the input's name is one of ours."""
    folder.mkdir(parents=True, exist_ok=True)
    weight = np.random.default_rng(0).normal(size=(WIDTH, 3, 4, 4)).astype(np.float32)
    source = name
    nodes = []
    if last:
        nodes.append(helper.make_node("Transpose", [name], ["turned"], perm=[0, 3, 1, 2]))
        source = "turned"
    nodes.append(helper.make_node("Conv", [source, "weight"], ["map"], strides=[4, 4]))
    outputs: list[Any] = [helper.make_tensor_value_info("map", TensorProto.FLOAT, [rows, WIDTH, 4, 4])]
    weights = [numpy_helper.from_array(weight, "weight")]
    if ndim == 3:
        weights.append(numpy_helper.from_array(np.array([0, WIDTH, 16]), "shape"))
        nodes.append(helper.make_node("Reshape", ["map", "shape"], ["flat"]))
        nodes.append(helper.make_node("Transpose", ["flat"], ["raw"], perm=[0, 2, 1]))
        outputs = [helper.make_tensor_value_info("raw", TensorProto.FLOAT, [rows, 16, WIDTH])]
    if ndim == 2:
        nodes.append(helper.make_node("GlobalAveragePool", ["map"], ["pooled"]))
        nodes.append(helper.make_node("Flatten", ["pooled"], ["features"]))
        outputs.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, [rows, WIDTH]))
    shape = [rows, "H", "W", 3] if last else [rows, 3, "H", "W"]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)], outputs, weights
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, folder / "net.onnx")
    content = {"size": SIDE, "image_mean": MEAN, "image_std": STD} if said is None else said
    (folder / "net.json").write_text(json.dumps(content))
    return folder / "net.onnx"


def pixels(rows: int = 5) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (rows, SIDE, SIDE, 3)).astype(np.uint8)


@pytest.mark.parametrize("opset", [13, 17, 18, 20])
@pytest.mark.parametrize(("ndim", "last"), [(2, False), (3, False), (4, False), (4, True)])
def test_one_graph_prepares_computes_and_pools(tmp_path: Path, ndim: int, last: bool, opset: int) -> None:
    path = write_graph(tmp_path, ndim=ndim, last=last, opset=opset)
    spec = onnx_spec(path)
    assert (spec.side, spec.width, spec.channels_last) == (SIDE, WIDTH, last)
    assert (spec.output, spec.pool) == {2: ("features", "none"), 3: ("raw", "first"), 4: ("map", "mean_map")}[
        ndim
    ]
    write_encoder(path, spec, tmp_path / "whole.onnx")
    ready = ((pixels() / 255.0 - MEAN) / STD).astype(np.float32)
    given = open_graph(path).run({"pixels": ready if last else ready.transpose(0, 3, 1, 2)})[spec.output]
    want = given if ndim == 2 else given[:, 0] if ndim == 3 else given.mean(axis=(2, 3))
    encoder = GivenEncoder(OnnxEncoder(tmp_path / "whole.onnx"), WIDTH, 5)
    found = encoder.raw(torch.from_numpy(pixels())).numpy()
    np.testing.assert_allclose(found, want, atol=1e-5)
    # With the head of the encoder behind it, as it is served; cut down and not.
    encoder.fit(found)
    for one in (encoder, GivenEncoder(encoder.raw, WIDTH, 0)):
        model = with_head(tmp_path / "whole.onnx", one.centre.numpy(), one.components.numpy(), 5)
        onnx.save(model, tmp_path / "served.onnx")
        served = open_graph(tmp_path / "served.onnx").run({"pixels": pixels()})["feature"]
        np.testing.assert_allclose(served, one(torch.from_numpy(pixels())).numpy(), atol=1e-5)


def test_the_folders_preparation_serves_too(tmp_path: Path) -> None:
    path = write_graph(tmp_path)
    (tmp_path / "net.json").unlink()
    with pytest.raises(PretrainedError, match=r"net\.json"):
        onnx_spec(path)
    content = {
        "size": {"shortest_edge": 20},
        "crop_size": {"height": SIDE, "width": SIDE},
        "image_mean": MEAN,
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**content, "image_std": STD}))
    assert onnx_spec(path).side == SIDE
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**content, "do_normalize": False}))
    assert onnx_spec(path).std == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("change", "said", "message"),
    [
        ({}, {"size": None}, "size is None"),
        ({}, {"image_mean": None}, "image_mean is None"),
        ({}, {"size": SIDE, "image_mean": MEAN, "image_std": (0.2, 0.0, 0.2)}, "image_std is"),
        ({}, {"size": 2, "image_mean": MEAN, "image_std": STD}, "does not run"),
        ({}, {"size": SIDE, "image_mean": MEAN, "image_std": STD, "output": "logits"}, "output is 'logits'"),
        (
            {"ndim": 3},
            {"size": SIDE, "image_mean": MEAN, "image_std": STD, "pool": "mean_map"},
            "does not read",
        ),
        ({"rows": 1}, {}, "1 pictures at a time"),
    ],
)
def test_what_cannot_be_used_is_refused(
    tmp_path: Path, change: dict[str, Any], said: dict[str, Any], message: str
) -> None:
    usual = {"size": SIDE, "image_mean": MEAN, "image_std": STD}
    path = write_graph(tmp_path, said={**usual, **said}, **change)
    with pytest.raises(PretrainedError, match=message):
        onnx_spec(path)


def test_old_operators_and_other_files_are_refused(tmp_path: Path) -> None:
    path = write_graph(tmp_path, opset=11)
    with pytest.raises(PretrainedError, match="opset 11"):
        write_encoder(path, onnx_spec(path), tmp_path / "whole.onnx")
    path.write_bytes(b"no graph")
    with pytest.raises(PretrainedError, match="ONNX graph"):
        onnx_spec(path)
    path.unlink()
    with pytest.raises(PretrainedError, match="no such file"):
        onnx_spec(path)


def test_a_run_over_an_onnx_graph_ends_in_a_bundle_without_it(shop_path: Path, tmp_path: Path) -> None:
    path = write_graph(tmp_path / "given", ndim=2)
    config = preset("tiny").with_overrides(
        {"image.onnx": str(path), "image.dims": 8, "stage1.steps": 3, "stage2.steps": 2}
    )
    train(shop_path, tmp_path / "run", config)
    (tmp_path / "given").rename(tmp_path / "gone")
    found = export(tmp_path / "run", tmp_path / "bundles", "onnx")
    bundle = Bundle.load(found)
    assert (bundle.manifest.picture.side, bundle.manifest.picture.feature_dim) == (SIDE, 8)
    assert "given/" not in (found / "manifest.json").read_text()
    bundle.check_canonical("image_encoder", open_graph(bundle.graph("image_encoder")))
    shown = np.load(tmp_path / "run" / "pixels.npy")[:4]
    served = open_graph(bundle.graph("image_encoder")).run({"pixels": shown})["feature"]
    np.testing.assert_allclose(served, np.load(tmp_path / "run" / "picture_features.npy")[:4, 0], atol=1e-4)
