"""Popularity by a stream: what was done since the log ended is added, as often as one runs it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from artifacts.bundle import Bundle
from artifacts.embeddings import EmbeddingsError, EmbeddingsFolder
from artifacts.shop.schema import Event, Item, ShopSchema
from artifacts.shop.shop import Shop
from artifacts.shop.writer import ShopWriter
from devtools.redis import RedisServer
from models.embed import embed_shop
from producer import popular
from producer.popular import popular_changes
from tests.producer.conftest import Made
from tests.producer.test_command import mrse

NOW = datetime.now(UTC).replace(microsecond=0)
ENDED = NOW - timedelta(days=30)


@pytest.fixture
def folder(made: Made, tmp_path: Path) -> Path:
    """Items a, b and c, of which a was clicked when the log ended."""
    with ShopWriter(tmp_path / "shop", ShopSchema("tiny")) as writer:
        for name in "abc":
            writer.add_item(Item(name, "red shoes", "Shoes"))
        writer.add_event(Event(ENDED, "a", "click", "shoes", "u1", split="train"))
    bundle: Bundle = made.bundle
    embed_shop(Shop.open(tmp_path / "shop"), bundle, tmp_path / "embeddings")
    return tmp_path / "embeddings"


def act(client: Redis, item: str, days_ago: float, action: str = "click", user: str = "u1") -> None:
    ts = (NOW - timedelta(days=days_ago)).isoformat()
    client.xadd("behaviours", {"user": user, "item": item, "action": action, "ts": ts})


def test_what_was_done_since_counts_by_its_time(
    folder: Path, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(popular, "_PAGE", 2)
    act(client, "a", 31)  # the log has it
    act(client, "a", 30 - 30)  # a half-life later: counts twice
    act(client, "b", 30 - 15, "order")
    act(client, "b", 30 - 15, "impression")
    act(client, "gone", 1)
    client.xadd("behaviours", {"item": "b"})
    opened = EmbeddingsFolder.open(folder)
    found = popular_changes(opened, client, "behaviours", NOW)
    assert found.values == {"a": 3.0, "b": pytest.approx(2**0.5, rel=1e-5)}
    assert (found.behaviours, found.unknown, found.malformed) == (2, 1, 1)
    assert found == popular_changes(opened, client, "behaviours", NOW)


def test_from_the_stream_into_an_index(
    folder: Path, redis: RedisServer, client: Redis, tmp_path: Path
) -> None:
    act(client, "c", 0)
    where = (str(folder), "--redis", redis.url, "--stream", "behaviours")
    for engine in ("embedded", "vespa"):
        out = tmp_path / f"{engine}.jsonl"
        done = mrse("popular", *where, "--out", str(out), "--for", engine)
        assert "1 items, from 1 behaviours" in done.stdout.replace("\n", " ")
        assert "what was done between is not counted" in done.stderr.replace("\n", " ")
    assert json.loads((tmp_path / "embedded.jsonl").read_text()) == {"id": "c", "popularity": 2.0}
    assert json.loads((tmp_path / "vespa.jsonl").read_text()) == {
        "id": "c",
        "attributes": {"popularity": 2.0},
    }


def test_a_folder_without_a_log_says_so(made: Made, client: Redis) -> None:
    with pytest.raises(EmbeddingsError, match="has no popularity to add to"):
        popular_changes(EmbeddingsFolder.open(made.embeddings), client, "behaviours", NOW)
