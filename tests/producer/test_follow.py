"""Following a stream: nothing lost, nothing twice, and what cannot be read put aside."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from redis import Redis

from artifacts.actions import ACTIONS
from artifacts.bundle.portrait import Behaviour
from artifacts.cache.codec import PortraitCodec, StoredPortrait
from artifacts.cache.keys import item_key, user_key
from devtools.redis import RedisServer
from devtools.waiting import wait_for
from producer.features import read_embeddings
from producer.fill import fill
from producer.follow import Follower, FollowOptions
from producer.items import ItemJob
from producer.metrics import FollowMetrics
from producer.refresh import Refresher
from producer.store import Store, connect
from producer.stream import BehaviourStream
from tests.producer.conftest import Made
from tests.support.bundle import DIMENSIONS, D

STREAM = "behaviours"
CODEC = PortraitCodec(3, D)
QUICK = FollowOptions(count=50, wait_s=0.02, claim_idle_s=0.05, claim_every_s=0.0, retry_s=0.01)


class Setting:
    """A stream and what it takes to follow it."""

    def __init__(self, made: Made, redis: RedisServer, client: Redis) -> None:
        self.manifest = made.bundle.manifest
        self.version = self.manifest.version
        self.server = redis
        self.client = client
        fill(ItemJob(read_embeddings(made.embeddings)), Store(client, 1000))

    def follower(self, consumer: str = "one", **knobs: Any) -> tuple[Follower, FollowMetrics]:
        client = connect(self.server.url)
        metrics = FollowMetrics()
        refresher = Refresher(Store(client, 1000), self.manifest, metrics.unknown_items.inc)
        stream = BehaviourStream(client, STREAM, "group", consumer)
        return Follower(stream, refresher, metrics, QUICK, **knobs), metrics

    def add(self, user: str, item: str, action: str = "click", **fields: Any) -> bytes:
        return self.client.xadd(STREAM, {"user": user, "item": item, "action": action, **fields})  # type: ignore[return-value]

    def portrait(self, user: str) -> StoredPortrait | None:
        return CODEC.decode(self.client.get(user_key(self.version, user)))

    def items(self, user: str) -> list[str]:
        portrait = self.portrait(user)
        return [] if portrait is None else [b.item_id for b in portrait.behaviours]

    def pending(self) -> int:
        return self.client.xpending(STREAM, "group")["pending"]


@pytest.fixture
def setting(made: Made, redis: RedisServer, client: Redis) -> Setting:
    return Setting(made, redis, client)


@contextmanager
def running(follower: Follower) -> Iterator[Callable[[], None]]:
    stop = threading.Event()
    thread = threading.Thread(target=follower.run, args=(stop,))
    thread.start()

    def end() -> None:
        stop.set()
        thread.join()

    try:
        yield end
    finally:
        end()


def value(metrics: FollowMetrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"mrse_follow_{name}", labels) or 0.0


def test_a_behaviour_is_in_the_portrait_soon(setting: Setting, made: Made) -> None:
    setting.add("u", "i1")  # before there is a group: nothing is left out
    follower, metrics = setting.follower()
    with running(follower):
        wait_for(lambda: setting.items("u") == ["i1"])
        setting.add("u", "i2", "order", query="boots")
        wait_for(lambda: setting.items("u") == ["i2", "i1"])
        wait_for(lambda: value(metrics, "processed_total") == 2)
    portrait = setting.portrait("u")
    assert portrait is not None
    assert [b.action for b in portrait.behaviours] == ["order", "click"]
    table = read_embeddings(made.embeddings)
    assert np.array_equal(portrait.features, table.features[[2, 1]].reshape(2, 3, D))
    assert setting.pending() == 0
    assert setting.client.xinfo_consumers(STREAM, "group") == [], "it left the group when it stopped"
    assert 890 <= setting.client.ttl(user_key(setting.version, "u")) <= 1100
    assert value(metrics, "age_seconds_count") == 2


def test_a_stream_that_is_deleted_while_it_is_waited_for_is_followed_again(setting: Setting) -> None:
    setting.add("u", "i1")
    follower, metrics = setting.follower()
    with running(follower):
        wait_for(lambda: setting.items("u") == ["i1"])
        for item in ("i2", "i3", "i4"):
            # In the middle of a wait, which ends with an error of its own.
            wait_for(lambda: blocked(setting.client))
            setting.client.delete(STREAM)
            setting.add("u", item)
            wait_for(lambda item=item: setting.items("u")[0] == item)
    assert value(metrics, "outages_total") >= 1


def blocked(client: Redis) -> bool:
    return int(client.info("clients")["blocked_clients"]) > 0


def test_a_damaged_embedding_in_redis_makes_no_portrait_of_it(setting: Setting) -> None:
    key = item_key(setting.version, "i2")
    whole = setting.client.get(key)
    assert isinstance(whole, bytes)
    setting.client.set(key, whole[:-9] + b"\x55" + whole[-8:])
    setting.add("u", "i1")
    setting.add("u", "i2")
    follower, metrics = setting.follower()
    with running(follower):
        wait_for(lambda: len(setting.items("u")) == 2)
    portrait = setting.portrait("u")
    assert portrait is not None
    assert list(portrait.known) == ["i1"]
    assert value(metrics, "unknown_items_total") == 1


def test_malformed_entries_are_put_aside_with_the_reason(setting: Setting) -> None:
    bad = setting.client.xadd(STREAM, {"user": "u", "item": "i1", "action": "stare", "id": "mine"})
    setting.client.xadd(STREAM, {"what": "ever"})
    setting.client.xadd(STREAM, {"user": b"\xff", "item": "i1", "action": "click"})
    setting.add("u", "i1", "impression")
    setting.add("u", "i3")
    follower, metrics = setting.follower()
    with running(follower):
        wait_for(lambda: setting.items("u") == ["i3"])
    letters = setting.client.xrange(f"{STREAM}:dead")
    assert [fields[b"reason"] for _, fields in letters] == [b"action", b"user", b"encoding"]
    first = letters[0][1]
    assert (first[b"id"], first[b"entry:id"], first[b"entry:action"]) == (bad, b"mine", b"stare")
    assert b"stare" in first[b"message"]
    assert setting.pending() == 0
    assert value(metrics, "dead_letters_total", reason="user") == 1
    assert value(metrics, "processed_total") == 1
    assert value(metrics, "ignored_total") == 1


def test_what_a_dead_consumer_took_is_taken_over(setting: Setting) -> None:
    for n in range(120):
        setting.add(f"u{n % 7}", f"i{n % 60}", ts=(datetime.now(UTC) - timedelta(seconds=n)).isoformat())
    gone = BehaviourStream(setting.client, STREAM, "group", "gone")
    gone.join()
    assert len(gone.read(120, 0.01)) == 120
    follower, metrics = setting.follower()
    with running(follower):
        wait_for(lambda: setting.client.xpending(STREAM, "group")["pending"] == 0)
    assert value(metrics, "claimed_total") == 120
    assert all(len(setting.items(f"u{n}")) == DIMENSIONS.history for n in range(7))


def test_delivered_twice_counts_once(setting: Setting) -> None:
    for n in range(5):
        setting.add("u", f"i{n}")
    follower, _ = setting.follower()
    with running(follower):
        wait_for(lambda: len(setting.items("u")) == 5)
    before = setting.client.get(user_key(setting.version, "u"))
    setting.client.xgroup_setid(STREAM, "group", "0")
    follower, metrics = setting.follower("two")
    with running(follower):
        wait_for(lambda: value(metrics, "processed_total") == 5)
    assert setting.client.get(user_key(setting.version, "u")) == before


def test_an_item_that_becomes_known_gets_its_features(setting: Setting, made: Made) -> None:
    key = item_key(setting.version, "i9")
    features = setting.client.getdel(key)
    setting.add("u", "i9")
    follower, metrics = setting.follower()
    with running(follower):
        wait_for(lambda: setting.items("u") == ["i9"])
        portrait = setting.portrait("u")
        assert portrait is not None
        assert portrait.known == []
        setting.client.set(key, features)
        setting.add("u", "i1")
        wait_for(lambda: len(setting.items("u")) == 2)
    portrait = setting.portrait("u")
    assert portrait is not None
    assert set(portrait.known) == {"i1", "i9"}
    assert value(metrics, "unknown_items_total") >= 1


def test_two_followers_lose_no_update_of_each_other(setting: Setting) -> None:
    start = datetime.now(UTC) - timedelta(hours=1)
    entries = [(f"u{n % 3}", f"i{n % 60}", start + timedelta(seconds=n)) for n in range(600)]
    for user, item, ts in entries:
        setting.add(user, item, ts=ts.isoformat())
    one, ours = setting.follower("one")
    two, theirs = setting.follower("two")
    with running(one), running(two):
        wait_for(lambda: value(ours, "processed_total") + value(theirs, "processed_total") >= 600)
    for user in ("u0", "u1", "u2"):
        last = [item for name, item, _ in entries if name == user][-DIMENSIONS.history :]
        assert setting.items(user) == last[::-1]


def test_redis_away_is_waited_out_and_a_lost_group_is_made_again(setting: Setting) -> None:
    follower, metrics = setting.follower()
    with running(follower):
        setting.add("u", "i1")
        wait_for(lambda: setting.items("u") == ["i1"])
        setting.client.delete(STREAM)  # and the group with it
        wait_for(lambda: value(metrics, "outages_total") > 0)
        setting.add("u", "i2")
        wait_for(lambda: setting.items("u") == ["i2", "i1"])
        setting.server.kill()
        setting.server.start()  # empty
        setting.add("u", "i3")
        wait_for(lambda: setting.items("u") == ["i3"])


def test_metrics_are_served(setting: Setting) -> None:
    follower, metrics = setting.follower()
    setting.add("u", "i1")
    close = metrics.serve(port := free_port(), "127.0.0.1")
    try:
        with running(follower):
            wait_for(lambda: value(metrics, "processed_total") == 1)
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    finally:
        close()
    assert "mrse_follow_processed_total 1.0" in text
    for name in ("lag_seconds", "pending", "dead_letters_total", "age_seconds_bucket"):
        assert f"mrse_follow_{name}" in text


@pytest.mark.slow
def test_killed_five_times_loses_nothing(setting: Setting, made: Made) -> None:
    """Real followers, killed at random moments while 3,600 behaviours arrive."""
    rng = random.Random(5)
    start = datetime.now(UTC) - timedelta(hours=2)
    sent: list[tuple[str, Behaviour]] = []
    group = f"mrse-{setting.version}"

    def send(count: int) -> None:
        pipe = setting.client.pipeline(transaction=False)
        for _ in range(count):
            behaviour = Behaviour(
                f"i{rng.randrange(60)}", rng.choice(ACTIONS.behaviours), start + timedelta(seconds=len(sent))
            )
            user = f"u{rng.randrange(40)}"
            sent.append((user, behaviour))
            ts = behaviour.ts.isoformat() if behaviour.ts else ""
            pipe.xadd(STREAM, {"user": user, "item": behaviour.item_id, "action": behaviour.action, "ts": ts})
        pipe.execute()

    def processed() -> int:
        groups = setting.client.xinfo_groups(STREAM)
        if not groups:
            return 0
        read = len(setting.client.xrange(STREAM, max=groups[0]["last-delivered-id"]))
        return read - groups[0]["pending"]

    def follow() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", "from cli.main import main; main()", "produce", "follow"]
        command += ["--bundle", str(made.bundle.path), "--redis", setting.server.url, "--stream", STREAM]
        command += ["--count", "8", "--claim-idle-s", "0.2"]
        return subprocess.Popen(command, stderr=subprocess.DEVNULL)

    for _ in range(5):
        send(600)
        process = follow()
        least = processed() + rng.randrange(20, 300)
        wait_for(lambda least=least: processed() >= least)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    # The last one has something to do, however quick those before were: it follows when it is told to end.
    send(600)
    process = follow()
    wait_for(lambda: processed() == 3600)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    assert setting.client.xpending(STREAM, group)["pending"] == 0
    for user in {name for name, _ in sent}:
        wanted = [b for name, b in sent if name == user][-DIMENSIONS.history :][::-1]
        portrait = setting.portrait(user)
        assert portrait is not None
        assert list(portrait.behaviours) == wanted


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
