"""A CNN's state dict: recognised by its weights, computed as it was, and served without its file."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from artifacts.bundle import Bundle, open_graph
from models.export.bundle import export
from models.towers import preset
from models.towers.image_config import CnnShape
from models.training import train
from models.training.pretrained import PretrainedError, resolve
from models.training.pretrained.cnn import PACKAGED, cnn_file, cnn_shape, load_cnn
from tests.support.pretrained import LITE, RESNET, write_cnn


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
@pytest.mark.parametrize("shape", [LITE, RESNET], ids=["lite", "resnet"])
def test_a_state_dict_says_what_it_is_of(tmp_path: Path, shape: CnnShape, prefix: str) -> None:
    made = write_cnn(tmp_path / "cnn.pth", shape, prefix)
    assert cnn_shape(tmp_path / "cnn.pth") == shape
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    loaded = load_cnn(tmp_path / "cnn.pth", shape)
    torch.testing.assert_close(loaded(pixels), made(pixels))
    assert not any(weight.requires_grad for weight in loaded.parameters())


def test_what_is_no_such_network_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cnn.pth"
    write_cnn(file)
    weights = torch.load(file, weights_only=True)
    for change, message in (
        ({"_blocks.4._project_conv.weight": None}, "block 4"),
        ({"_conv_head.weight": None}, "not those of an EfficientNet-Lite"),
        ({"_blocks.0._se_reduce.weight": torch.zeros(1)}, "not those of an EfficientNet-Lite"),
    ):
        changed = {n: w for n, w in {**weights, **change}.items() if w is not None}
        torch.save(changed, file)
        with pytest.raises(PretrainedError, match=message):
            cnn_shape(file)
    torch.save({"features.0.weight": torch.zeros(2)}, file)
    with pytest.raises(PretrainedError, match=r"image\.onnx"):
        cnn_shape(file)
    torch.save([torch.zeros(2)], file)
    with pytest.raises(PretrainedError, match="holds a list"):
        cnn_shape(file)
    file.write_bytes(b"no weights")
    with pytest.raises(PretrainedError, match="cannot be read"):
        cnn_shape(file)
    write_cnn(file)
    short = {n: w for n, w in torch.load(file, weights_only=True).items() if n != "_bn1.bias"}
    torch.save(short, file)
    with pytest.raises(PretrainedError, match=r"_bn1\.bias"):
        load_cnn(file, LITE)
    with pytest.raises(PretrainedError, match="no such file"):
        resolve(preset("tiny").with_overrides({"image.cnn": str(tmp_path / "none.pth")}))


def test_two_encoders_are_one_too_many(tmp_path: Path) -> None:
    write_cnn(tmp_path / "cnn.pth")
    two = {"image.cnn": str(tmp_path / "cnn.pth"), "image.vit": str(tmp_path)}
    with pytest.raises(PretrainedError, match=r"image\.vit and image\.cnn"):
        resolve(preset("tiny").with_overrides(two))


def test_the_packaged_weights_name_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.training.pretrained.cnn.find_spec", lambda name: None)
    with pytest.raises(PretrainedError, match=r"mrse-recall\[pictures\]"):
        cnn_file(PACKAGED)


def test_a_run_over_a_cnn_ends_in_a_bundle_that_needs_no_file(
    shop_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_cnn(tmp_path / "given" / "cnn.pth")
    config = preset("tiny").with_overrides(
        {
            "image.cnn": str(tmp_path / "given" / "cnn.pth"),
            "image.cnn_side": 48,
            "image.dims": 16,
            "image.views": 2,
            "stage1.steps": 3,
            "stage2.steps": 2,
        }
    )
    run, stages = tmp_path / "run", set[str]()
    with caplog.at_level(logging.WARNING, "mrse.training"):
        train(shop_path, run, config, lambda stage, done, total: stages.add(stage))
    assert not caplog.records
    assert "image" not in stages
    views = np.load(run / "query_picture_features.npy")
    assert views.shape[1:] == (3, 16)
    assert np.abs(views[:, 1] - views[:, 0]).max() > 1e-3
    train(shop_path, run, config)
    (tmp_path / "given").rename(tmp_path / "gone")
    path = export(run, tmp_path / "bundles", "cnn")
    bundle = Bundle.load(path)
    assert (bundle.manifest.picture.side, bundle.manifest.picture.feature_dim) == (48, 16)
    assert str(tmp_path) not in (path / "manifest.json").read_text()
    bundle.check_canonical("image_encoder", open_graph(bundle.graph("image_encoder")))
    # What is served is what the towers were trained on.
    pixels = np.load(run / "pixels.npy")[:4]
    served = open_graph(bundle.graph("image_encoder")).run({"pixels": pixels})["feature"]
    np.testing.assert_allclose(served, np.load(run / "picture_features.npy")[:4, 0], atol=2e-4)
