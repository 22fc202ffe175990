"""``mrse calibrate`` from a shop to the curves that a service merges by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from artifacts.bundle import Bundle
from artifacts.shop.shop import Shop
from cli.main import build as commands
from index.embedded.build import build_index
from models.embed import embed_shop
from service.recall.calibration import BUILT_IN, Calibration, beside, calibration_of


@pytest.fixture(scope="module")
def index(shop: Shop, bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("calibrate")
    embed_shop(shop, Bundle.load(bundle_path), root / "embeddings", behaviours="train")
    build_index(root / "embeddings", root / "index")
    return root / "index"


def run(shop_path: Path, bundle_path: Path, index: Path, *more: str) -> Any:
    arguments = ["calibrate", str(shop_path), "--bundle", str(bundle_path), "--index", str(index)]
    done = CliRunner().invoke(commands(), [*arguments, "--requests", "50", "--k", "30", *more])
    assert done.exit_code == 0, done.output
    return done


def test_curves_are_fitted_measured_and_written_beside_the_index(
    shop_path: Path, bundle_path: Path, index: Path, tmp_path: Path
) -> None:
    config = tmp_path / "mrse.toml"
    config.write_text("[recall.lexical]\nenabled = true\n")
    version = Bundle.load(bundle_path).version
    told = run(shop_path, bundle_path, index, "--config", str(config), "--json", "--dry-run")
    assert calibration_of(index, version) is BUILT_IN
    figures = json.loads(told.stdout)["fitted"]["figures"]
    assert {"calibrated", "score", "rrf", "worth of q2i", "worth of lexical"} <= set(figures)
    for row in figures.values():
        assert set(row) == {"nDCG@10", "Recall@1", "Recall@10"}
    shown = run(shop_path, bundle_path, index, "--config", str(config))
    assert "worth of lexical" in shown.stdout
    written = Calibration.read(beside(index))
    assert written == calibration_of(index, version)
    assert set(written.curves) == {"lexical"}
    assert written.fitted["requests"] == 50
    assert written.version in shown.stdout
