"""A Redis, a bundle, the tiny shop's embeddings and a log of its users."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from artifacts.bundle import Bundle
from devtools.redis import RedisServer, redis_server
from producer.histories import LogRow
from tests.support import shop


@dataclass(frozen=True)
class Made:
    """A bundle and the embeddings made with it."""

    bundle: Bundle
    embeddings: Path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("made")
    bundle = shop.bundle(root / "bundle")
    return Made(bundle, shop.write_embeddings(bundle, root / "embeddings"))


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("other")
    bundle = shop.bundle(root / "bundle", seed=2)
    return Made(bundle, shop.write_embeddings(bundle, root / "embeddings"))


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    folder = tmp_path / "redis"
    folder.mkdir()
    with redis_server(folder) as server:
        yield server


@pytest.fixture
def client(redis: RedisServer) -> Iterator[Redis]:
    with Redis.from_url(redis.url) as client:
        yield client


def random_log(users: int, rows: int, seed: int = 1, unknown: float = 0.1) -> list[LogRow]:
    """Rows in no order, some of them impressions, some of items that no embeddings folder has."""
    rng = random.Random(seed)
    start = datetime.now(UTC) - timedelta(days=3)
    return [
        (
            f"u{rng.randrange(users)}",
            f"gone{rng.randrange(5)}" if rng.random() < unknown else f"i{rng.randrange(60)}",
            rng.choice(("impression", "click", "click", "cart", "order")),
            start + timedelta(seconds=rng.randrange(200_000)),
        )
        for _ in range(rows)
    ]
