"""A small synthetic shop, a tiny run over it and its bundle, each made once."""

from pathlib import Path

import pytest

from artifacts.shop.shop import Shop
from models.export.bundle import export
from models.synthetic import make_shop
from models.towers import Config, preset
from models.training import train


@pytest.fixture(scope="session")
def shop_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "shop"
    make_shop(path, items=250, seed=3)
    return path


@pytest.fixture(scope="session")
def shop(shop_path: Path) -> Shop:
    return Shop.open(shop_path)


@pytest.fixture(scope="session")
def config() -> Config:
    return preset("tiny")


@pytest.fixture(scope="session")
def run(shop_path: Path, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "run"
    train(shop_path, out, config)
    return out


@pytest.fixture(scope="session")
def bundle_path(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(run, tmp_path_factory.mktemp("model") / "bundles", "tiny")
