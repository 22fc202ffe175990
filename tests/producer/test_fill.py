"""Filling Redis: every row, once, whatever is killed in between."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from artifacts.bundle import TextBatch
from artifacts.bundle.text import normalise
from artifacts.cache.codec import FeatureCodec
from artifacts.cache.keys import item_key, query_key
from artifacts.embeddings import EmbeddingsError
from devtools.redis import RedisServer
from devtools.waiting import wait_for
from producer.features import open_features, read_embeddings
from producer.fill import fill
from producer.items import ItemJob
from producer.job import Entries, Job
from producer.journal import Journal
from producer.queries import QueryJob
from producer.store import ProduceError, Store, as_produce_error
from service.query.encoder import QueryEncoder
from service.settings import BundleSettings, Encoder
from tests.producer.conftest import Made
from tests.support import shop
from tests.support.bundle import D

QUERIES = [normalise(f"{item['title']} {n}") for n in range(5) for item in shop.items()]


class Plain(Job):
    """A job of numbers that breaks off where it is told to."""

    name = "plain"
    bundle_version = "v"
    workers = 2
    reconciles = False
    source = "numbers"

    def __init__(self, rows: int, break_at: int | None = None) -> None:
        self.rows = rows
        self.break_at = break_at

    def __len__(self) -> int:
        return self.rows

    def run(self, prepared: tuple[int, int]) -> Entries:
        start, end = prepared
        if self.break_at is not None and end > self.break_at:
            raise RuntimeError("broken off")
        return Entries([f"n:{n}" for n in range(start, end)], [b"%d" % n for n in range(start, end)])

    def reconcile(self, stored: bytes, value: bytes) -> bytes:
        return value


async def test_queries_get_what_the_service_would_have_encoded(made: Made, client: Redis) -> None:
    job = QueryJob(made.bundle, QUERIES, threads=2)
    filled = fill(job, Store(client, 1000), batch=64)
    assert (filled.rows, filled.written, filled.skipped) == (300, 300, 0)
    codec = FeatureCodec(3, D)
    encoder = QueryEncoder(made.bundle, BundleSettings(precision="fp32"), Encoder())
    try:
        for query in QUERIES[::29]:
            stored = codec.decode(client.get(query_key(made.bundle.version, normalise(query.upper()))))
            assert stored is not None
            # Padding to another length may move the last bit.
            np.testing.assert_allclose(stored, await encoder.experts(query, None), rtol=2e-3, atol=1e-4)
    finally:
        encoder.close()
    ttls = [client.ttl(query_key(made.bundle.version, query)) for query in QUERIES]
    assert 890 <= min(ttls) < max(ttls) <= 1100
    assert len(set(ttls)) > 50, "what was written together must not expire together"
    assert client.dbsize() == 300, "a finished job leaves no journal"


def test_what_is_not_finite_is_not_cached(made: Made, client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    real = QueryJob.run

    def sick(self: QueryJob, prepared: TextBatch) -> np.ndarray:
        experts = real(self, prepared)
        experts[::10] = np.nan
        experts[5::10] = np.inf  # what is more than fp16 can say is rounded to
        return experts

    monkeypatch.setattr(QueryJob, "run", sick)
    filled = fill(QueryJob(made.bundle, QUERIES), Store(client, 1000), batch=120)  # slices of 30
    assert (filled.written, filled.skipped) == (240, 60)
    assert client.dbsize() == 240


def test_progress_goes_up_to_the_end(client: Redis) -> None:
    seen: list[tuple[int, int | None]] = []
    fill(Plain(1000), Store(client, 100), batch=120, progress=lambda *at: seen.append(at))
    assert seen[0] == (0, 1000)
    assert seen[-1] == (1000, 1000)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_a_job_goes_on_where_it_broke_off(client: Redis) -> None:
    with pytest.raises(RuntimeError, match="broken off"):
        fill(Plain(1000, break_at=600), Store(client, 100), batch=120)
    there = {int(key[2:]) for key in client.keys("n:*")}
    assert there == set(range(600))
    filled = fill(Plain(1000), Store(client, 100), batch=120)
    assert (filled.resumed_from, filled.rows, filled.written) == (600, 400, 400)
    assert client.dbsize() == 1000
    assert fill(Plain(1000), Store(client, 100)).rows == 1000, "a finished job is done again when asked for"


def test_another_source_starts_from_the_beginning(client: Redis) -> None:
    with pytest.raises(RuntimeError):
        fill(Plain(1000, break_at=600), Store(client, 100), batch=120)
    changed = Plain(1000)
    changed.source = "other numbers"
    assert fill(changed, Store(client, 100), batch=120).resumed_from == 0


def test_a_mark_is_void_before_the_values_expire(client: Redis) -> None:
    early = Journal(Plain(1000), 100.0, now=lambda: 1000.0)
    Store(client, 100).put([], [], early.mark(600))
    assert Journal(Plain(1000), 100.0).resume(client) == 0, "written in 1970"
    with pytest.raises(RuntimeError):
        fill(Plain(1000, break_at=600), Store(client, 100), batch=120)
    left = client.pttl("mrse:v:produce:plain") / 1000
    assert 0 < left <= 90


def test_redis_that_lost_its_values_has_lost_the_mark(client: Redis) -> None:
    with pytest.raises(RuntimeError):
        fill(Plain(1000, break_at=600), Store(client, 100), batch=120)
    client.flushdb()
    assert fill(Plain(1000), Store(client, 100)).resumed_from == 0
    assert client.dbsize() == 1000


def test_redis_that_dies_midway_is_an_error_that_hides_the_password(redis: RedisServer) -> None:
    url = redis.url.replace("redis://", "redis://:hush@")
    impatient = Redis.from_url(redis.url, retry=Retry(NoBackoff(), 0))

    def kill(done: int, total: int | None) -> None:
        if done >= 300:
            redis.kill()

    with pytest.raises(ProduceError, match="start the command again") as caught, as_produce_error(url):
        fill(Plain(1000), Store(impatient, 100), batch=120, progress=kill)
    assert "hush" not in str(caught.value)
    assert isinstance(caught.value.__cause__, RedisError)


def test_redis_that_is_full_gets_no_mark_for_what_it_did_not_take(client: Redis) -> None:
    with pytest.raises(RuntimeError):
        fill(Plain(1000, break_at=600), Store(client, 100), batch=120)
    client.config_set("maxmemory", 1)
    with pytest.raises(RedisError, match="OOM"):
        fill(Plain(1000), Store(client, 100), batch=120)
    client.config_set("maxmemory", 0)
    assert fill(Plain(1000), Store(client, 100)).resumed_from == 600
    assert client.dbsize() == 1000


@pytest.mark.slow
def test_killed_four_times_leaves_no_gap_and_repeats_at_most_a_batch_each(
    made: Made, redis: RedisServer, client: Redis, tmp_path: Path
) -> None:
    rows, batch = 6000, 256
    notes = tmp_path / "notes"
    command = [sys.executable, "-m", "devtools.fill_process", redis.url, str(made.bundle.path)]
    command += [str(rows), str(batch), str(notes)]
    mark = f"mrse:{made.bundle.version}:produce:queries"
    kills = 4
    for kill in range(kills):
        process = subprocess.Popen(command)
        at_least = (kill + 1) * rows // (kills + 2)
        wait_for(lambda least=at_least: int(client.hget(mark, "done") or 0) >= least)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        done = int(client.hget(mark, "done"))
        assert client.dbsize() == done + 1, "mark and values are written together"
    subprocess.run(command, check=True)
    values = client.mget(
        [query_key(made.bundle.version, normalise(f"query number {n}")) for n in range(rows)]
    )
    assert all(values)
    worked = sum(int(b) - int(a) for a, b in (line.split() for line in notes.read_text().splitlines()))
    assert rows <= worked <= rows + kills * batch


def test_item_features_from_embeddings(made: Made, client: Redis) -> None:
    table = read_embeddings(made.embeddings)
    filled = fill(ItemJob(table), Store(client, 1000), batch=64)
    assert (filled.written, filled.bundle_version) == (60, made.bundle.version)
    codec = FeatureCodec(3, D)
    for row in (0, 17, 59):
        stored = codec.decode(client.get(item_key(made.bundle.version, f"i{row}")))
        assert np.array_equal(stored, table.features[row])


def test_an_item_without_numbers_is_left_out(made: Made, other: Made, client: Redis, tmp_path: Path) -> None:
    folder = shop.write_embeddings(made.bundle, tmp_path / "embeddings")
    features = np.load(folder / "features.npy")
    features[7, 1, 1] = np.nan
    np.save(folder / "features.npy", features)
    assert fill(ItemJob(read_embeddings(folder)), Store(client, 1000)).skipped == 1
    assert client.get(item_key(made.bundle.version, "i7")) is None


def test_two_bundles_live_side_by_side(made: Made, other: Made, client: Redis) -> None:
    for each in (made, other):
        fill(ItemJob(read_embeddings(each.embeddings)), Store(client, 1000))
        fill(QueryJob(each.bundle, QUERIES), Store(client, 1000))
    assert client.dbsize() == 2 * (60 + 300)
    one, two = (client.get(query_key(each.bundle.version, QUERIES[0])) for each in (made, other))
    assert one != two


@pytest.mark.parametrize("damage", ["meta", "rows", "dtype", "nothing"])
def test_a_folder_that_cannot_be_used_is_named(made: Made, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "embeddings"
    if damage != "nothing":
        shop.write_embeddings(made.bundle, folder)
    if damage == "meta":
        (folder / "meta.json").write_text("{}")
    elif damage == "rows":
        np.save(folder / "features.npy", np.zeros((3, 3, D), np.float16))
    elif damage == "dtype":
        np.save(folder / "features.npy", np.zeros((60, 3, D), np.float32))
    with pytest.raises(EmbeddingsError, match=str(folder)):
        open_features(folder, [])
