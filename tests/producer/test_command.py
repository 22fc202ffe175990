"""``mrse produce`` from a shop's files to Redis, as its users run it."""

from __future__ import annotations

import json
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis import Redis

from artifacts.bundle.text import normalise
from artifacts.cache.codec import PortraitCodec
from artifacts.cache.keys import query_key, user_key
from artifacts.shop.schema import Event, Item, ShopSchema
from artifacts.shop.writer import ShopWriter
from devtools.redis import RedisServer
from tests.producer.conftest import Made
from tests.support import shop
from tests.support.bundle import D
from tests.support.command import mrse_here


def mrse(*arguments: str, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    done = mrse_here("produce", *arguments, **variables)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A shop whose users u0 to u9 search and click, and one that only looks."""
    now = datetime.now(UTC)
    with ShopWriter(tmp_path / "shop", ShopSchema("tiny")) as writer:
        for item in shop.items():
            writer.add_item(Item(item["id"], item["title"], item["category"]))
        for n in range(200):
            user = f"u{n % 10}" if n % 3 else None
            query = "red shoes" if n % 2 else f"query {n % 40}"
            writer.add_event(Event(now - timedelta(hours=n), f"i{n % 60}", "click", query, user))
        writer.add_event(Event(now, "i1", "impression", "", "looker"))
    return tmp_path / "shop"


def test_from_a_shop_to_redis(made: Made, files: Path, redis: RedisServer, client: Redis) -> None:
    where = ("--bundle", str(made.bundle.path), "--redis", redis.url)
    heads = mrse("queries", str(files), *where, "--top", "5", "--json")
    assert json.loads(heads.stdout)["written"] == 5
    assert "queries: 5/5" in heads.stderr
    assert client.exists(query_key(made.bundle.version, normalise("Red  Shoes")))
    users = mrse("portraits", str(files), *where, "--features", str(made.embeddings), "--ttl-days", "2")
    assert f"portraits: 10 written for bundle {made.bundle.version}" in users.stdout
    portrait = PortraitCodec(3, D).decode(client.get(user_key(made.bundle.version, "u1")))
    assert portrait is not None
    assert portrait.behaviours[0].item_id == "i1"
    assert 1.7 * 86_400 < client.ttl(user_key(made.bundle.version, "u1")) < 2.3 * 86_400
    assert not client.exists(user_key(made.bundle.version, "looker"))
    # The address may come from the environment, as it does for the service.
    mrse("items", str(made.embeddings), MRSE_REDIS_URL=redis.url)
    assert len(client.keys(f"mrse:{made.bundle.version}:i:*")) == 60


def test_queries_from_a_file(made: Made, redis: RedisServer, client: Redis, tmp_path: Path) -> None:
    (tmp_path / "queries.txt").write_text("boots\n\nBoots\ncup\n", encoding="utf-8")
    mrse(
        *("queries", str(tmp_path / "queries.txt"), "--bundle", str(made.bundle.path)),
        *("--redis", redis.url, "--top", "1"),
    )
    assert client.keys() == [query_key(made.bundle.version, normalise("boots")).encode()]


def test_what_is_wrong_is_said_in_a_line(made: Made, other: Made, files: Path, redis: RedisServer) -> None:
    bundle = ("--bundle", str(made.bundle.path))
    url = redis.url.replace("redis://", "redis://:hush@")
    wrong = mrse(
        *("portraits", str(files), *bundle, "--redis", url, "--features", str(other.embeddings)), code=2
    )
    assert other.bundle.version in wrong.stderr
    assert made.bundle.version in wrong.stderr
    assert (
        "not one of 'fp32', 'fp16', 'int8'"
        in mrse(*("queries", str(files), *bundle, "--redis", url, "--precision", "fp8"), code=2).stderr
    )
    assert "--redis" in mrse("items", str(made.embeddings), code=2).stderr
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        following = ("follow", *bundle, "--redis", url, "--stream", "s", "--metrics-port", port)
        assert "--metrics-port" in mrse(*following, code=2).stderr
    redis.kill()
    away = mrse("queries", str(files), *bundle, "--redis", url, code=1)
    assert "start the command again" in away.stderr.replace("\n", " ")
    assert "hush" not in away.stderr


def test_forgetting_a_user_leaves_the_others(redis: RedisServer, client: Redis) -> None:
    for version in ("demo-1", "demo-2"):
        for user in ("u1", "u10", "x:u:u1"):
            client.set(user_key(version, user), b"portrait")
    for user in ("u1", "u10", "u1"):
        client.xadd("behaviours", {"user": user, "item": "i1", "action": "click"})
        client.xadd("behaviours:dead", {"reason": "ts", "entry:user": user, "user": "u1"})
    where = ("--redis", redis.url, "--stream", "behaviours", "--json")
    assert json.loads(mrse("forget", "u1", *where).stdout) == {"portraits": 2, "behaviours": 4}
    assert {key.decode() for key in client.keys("mrse:*")} == {
        user_key(version, user) for version in ("demo-1", "demo-2") for user in ("u10", "x:u:u1")
    }
    assert [fields[b"user"] for _, fields in client.xrange("behaviours")] == [b"u10"]
    assert [fields[b"entry:user"] for _, fields in client.xrange("behaviours:dead")] == [b"u10"]
    assert json.loads(mrse("forget", "u1", *where).stdout) == {"portraits": 0, "behaviours": 0}
