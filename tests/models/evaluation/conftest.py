"""A small synthetic shop and two bundles over it that need no training, each made once."""

import json
from pathlib import Path

import pytest

from artifacts.bundle import Bundle
from artifacts.bundle.manifest import MANIFEST_NAME
from artifacts.shop.shop import Shop
from models.evaluation import Evaluation, evaluate
from models.synthetic import make_shop
from tests.support.bundle import make_bundle


@pytest.fixture(scope="session")
def shop_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("evaluation") / "shop"
    make_shop(path, items=250, seed=3)
    return path


def _bundle(folder: Path, shop_path: Path, seed: int) -> Path:
    texts = [f"{item.title} {item.category}" for item in Shop.open(shop_path).items()]
    made = make_bundle(folder, texts, seed=seed)
    training = {
        "seed": seed,
        "loss": {"alpha": 1.0, "beta": 0.2, "low_relevance": 0.34, "hard_ranks": [101, 200]},
    }
    manifest = made.manifest.model_copy(update={"training": training}).versioned()
    (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return Bundle.load(folder).path


@pytest.fixture(scope="session")
def bundle_path(shop_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _bundle(tmp_path_factory.mktemp("evaluation") / "bundle", shop_path, 1)


@pytest.fixture(scope="session")
def other_path(shop_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _bundle(tmp_path_factory.mktemp("evaluation") / "other", shop_path, 2)


@pytest.fixture(scope="session")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The curves of a run: stage 1 came to rest, stage 2 still falls."""
    path = tmp_path_factory.mktemp("evaluation") / "run"
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"config": {"seed": 1}}))
    rest = [f"{step},{1 + 1 / (1 + step):.4f}" for step in range(0, 400, 10)]
    falls = [f"{step},{9 - step / 50:.4f}" for step in range(0, 400, 10)]
    (path / "stage1.csv").write_text("\n".join(["step,loss", *rest]))
    (path / "stage2.csv").write_text("\n".join(["step,mnsce", *falls]))
    return path


@pytest.fixture(scope="session")
def evaluation(bundle_path: Path, other_path: Path, shop_path: Path) -> Evaluation:
    return evaluate(bundle_path, shop_path, split="test", against=other_path, resamples=100)
