"""The tiny shop, embedded and indexed once, and a service over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from artifacts.bundle import Bundle
from devtools.redis import RedisServer, redis_server
from index.embedded.build import build_index
from tests.support import shop
from tests.support.serving import Server, make_settings, serving


@dataclass(frozen=True)
class Demo:
    """Two bundles and an index of each."""

    bundle: Bundle
    index: Path
    other_bundle: Bundle
    other_index: Path


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    root = tmp_path_factory.mktemp("demo")
    made = []
    for name, seed in (("first", 1), ("second", 2)):
        bundle = shop.bundle(root / name / "bundle", seed)
        shop.write_embeddings(bundle, root / name / "embeddings")
        build_index(root / name / "embeddings", root / name / "index")
        made += [bundle, root / name / "index"]
    return Demo(*made)


@pytest.fixture(scope="session")
def server(demo: Demo) -> Iterator[Server]:
    """A service with two arms of ``towers`` and an experiment on merging, shared by tests that only ask."""
    experiments = {
        "towers": {
            "control": {"weight": 100},
            "treatment": {"weight": 0, "bundle": demo.other_bundle.path, "index": demo.other_index},
        },
        "merge": {"score": {"weight": 1}, "rrf": {"weight": 0, "recall": {"merge": "rrf"}}},
    }
    access = {"anonymous": ["read", "metrics", "experiments"]}
    with serving(
        make_settings(demo.bundle.path, demo.index, experiments=experiments, access=access)
    ) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server
