"""What presets demand and leave out; pictures that never train are told."""

import logging
import shlex
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from artifacts.bundle import Bundle, open_graph
from cli.main import build
from devtools.pages import elsewhere
from models.export.bundle import export
from models.towers import preset
from models.training import load_finished, train
from models.training.pretrained import PretrainedError, resolve
from models.training.pretrained.cnn import PACKAGE
from tests.support.pretrained import WIDTH, write_bert, write_vit

SHORT = {"stage1.steps": 2, "stage2.steps": 2, "stage1.batch": 16, "stage2.batch": 16}
#: The sizes of the preset ``paper``, so that it is built in seconds.
SMALL = {
    "dimensions.expert_dim": 16,
    "dimensions.embedding_dim": 32,
    "dimensions.history": 4,
    "text.ngram_buckets": 500,
    "experts.hidden": 24,
    "experts.heads": 2,
    "fusion.hidden": 32,
    "fusion.gate_hidden": 8,
    "data.vocabulary": 300,
}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("paper", r"pretrained ViT.*--set image\.vit=PATH"),
        ("pretrained-text", r"BERT.*--set experts\.bert=PATH"),
    ],
)
def test_a_preset_without_what_it_is_about_is_refused(name: str, message: str) -> None:
    with pytest.raises(PretrainedError, match=message):
        resolve(preset(name))


def test_the_paper_preset_builds_over_a_vit_that_stays_frozen(shop_path: Path, tmp_path: Path) -> None:
    made = write_vit(tmp_path / "vit", layers=6)
    config = preset("paper").with_overrides({**SMALL, **SHORT, "image.vit": str(tmp_path / "vit")})
    train(shop_path, tmp_path / "run", config)
    path = export(tmp_path / "run", tmp_path / "bundles", "paper")
    bundle = Bundle.load(path)
    assert bundle.manifest.picture.feature_dim == WIDTH
    assert bundle.manifest.training["preset"] == "paper"
    # Frozen: the graph that is served holds the folder's own numbers.
    stored = path.joinpath("image_encoder.onnx").read_bytes()
    assert made["encoder.layer.5.output.dense.bias"].numpy().tobytes() in stored
    bundle.check_canonical("image_encoder", open_graph(bundle.graph("image_encoder")))


def test_the_text_preset_reads_no_picture_and_says_so(
    shop_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stages: set[str] = set()
    with caplog.at_level(logging.WARNING, "mrse.training"):
        config = preset("text").with_overrides({**SHORT, "data.vocabulary": 300})
        train(shop_path, tmp_path / "run", config, lambda stage, done, total: stages.add(stage))
    assert "switches.picture is off" in caplog.text
    assert not stages & {"pictures", "picture features", "image"}
    bundle = Bundle.load(export(tmp_path / "run", tmp_path / "bundles", "text"))
    # Nobody trained the image encoder: it is the same all the same, and so is the bundle.
    one, other = (load_finished(tmp_path / "run").image_encoder.state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    # A picture that is asked with all the same changes nothing.
    graph = open_graph(bundle.graph("query_experts"))
    ids = np.array([[2, 5, 6]], dtype=np.int64)
    asked = {"input_ids": ids, "ngram_ids": ids[:, :, None]}
    width = bundle.manifest.picture.feature_dim
    with_picture, without = (
        graph.run({**asked, "picture": np.full((1, width), has), "has_picture": np.array([has])})["experts"]
        for has in (np.float32(1), np.float32(0))
    )
    np.testing.assert_array_equal(with_picture, without)


@pytest.mark.parametrize(
    ("name", "smaller"),
    [
        (
            "pretrained-text",
            {"image.epochs": 1, "image.feature_views": 1, "picture.side": 32, "text.max_item_tokens": 24},
        ),
        ("pretrained-image", {"image.cnn_side": 32, "image.views": 1, "image.dims": 16, **SMALL}),
    ],
)
def test_the_commands_of_the_page_of_encoders(
    shop_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, smaller: Mapping[str, Any]
) -> None:
    """With a small BERT in place of the page's, and with the packaged CNN."""
    if name == "pretrained-image" and find_spec(PACKAGE) is None:
        pytest.skip("the extra pictures is not installed")
    write_bert(tmp_path / "bert", layers=6)
    (tmp_path / "shop").symlink_to(shop_path)
    commands = elsewhere("docs/encoders.md", "tests/models/training/test_presets.py")
    (command,) = (each for each in commands if f"--preset {name}" in each)
    words = shlex.split(command.replace("/models/all-MiniLM-L6-v2", "bert"))[1:]
    sets = [f"--set={key}={value}" for key, value in {**SHORT, **smaller, "threads": 1}.items()]
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(build(), [*words, *sets])
    assert done.exit_code == 0, f"{done.output} {done.exception!r}"
    assert (tmp_path / "run" / "summary.json").is_file()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"switches.vbert": False}, "no expert that reads pictures is on (vbert)"),
        ({"image.epochs": 0}, "image.epochs is 0"),
        ({}, ""),
    ],
)
def test_pictures_that_never_train_are_told(
    shop_path: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    settings: Mapping[str, Any],
    message: str,
) -> None:
    config = preset("tiny").with_overrides({**SHORT, **settings})
    with caplog.at_level(logging.WARNING, "mrse.training"):
        train(shop_path, tmp_path / "run", config)
    assert message in caplog.text
    assert bool(caplog.records) == bool(message)
