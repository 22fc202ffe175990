"""The shared cache on a real Redis server: shared, bounded in time, and not missed when it is away."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import numpy as np
import pytest
import uvloop
from redis import Redis

from artifacts.bundle.text import normalise
from artifacts.cache.codec import FeatureCodec
from artifacts.cache.keys import item_key, query_key
from common.breaker import CircuitBreaker
from common.deadline import Deadline
from devtools.fault_proxy import FaultProxy
from devtools.redis import RedisServer
from devtools.waiting import wait_for
from service.query.cache.produced import ProducedFeatures
from service.query.cache.redis import RedisCache
from service.settings import RedisSettings
from tests.service.conftest import Demo
from tests.support.bundle import D
from tests.support.serving import make_settings, serving

pytestmark = pytest.mark.xdist_group("redis")


def cache_on(server: RedisServer, events: Counter[str], **knobs: object) -> RedisCache:
    settings = RedisSettings.model_validate({"url": server.url, "timeout_ms": 2000, **knobs})
    breaker = CircuitBreaker(settings.breaker_failures, settings.breaker_open_s)
    return RedisCache(settings, breaker, lambda event: events.update([event]))


def soon() -> Deadline:
    return Deadline.after(30.0)


async def until(condition: object) -> None:
    async with asyncio.timeout(30):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110 -- there is nothing to wait for
            await asyncio.sleep(0.005)


async def test_what_is_put_can_be_got_with_a_time_to_live(redis: RedisServer) -> None:
    events: Counter[str] = Counter()
    cache = cache_on(redis, events, ttl_s=1000)
    assert await cache.get(["a"], soon()) == {"a": None}
    cache.put("a", b"1")
    cache.put("b", b"\x00\xff")
    await until(lambda: events["written"])
    assert await cache.get(["b", "none", "a"], soon()) == {"b": b"\x00\xff", "none": None, "a": b"1"}
    with Redis.from_url(redis.url) as plain:
        assert 900 <= plain.ttl("a") <= 1100
    await cache.close()


async def test_reads_of_one_turn_travel_in_one_mget(redis: RedisServer) -> None:
    cache = cache_on(redis, Counter())
    await cache.get(["warm"], soon())
    with Redis.from_url(redis.url) as plain:
        plain.mset({f"k{n}": str(n) for n in range(8)})
        before = plain.info("commandstats").get("cmdstat_mget", {}).get("calls", 0)
        got = await asyncio.gather(*(cache.get([f"k{n}", "k0"], soon()) for n in range(8)))
        after = plain.info("commandstats")["cmdstat_mget"]["calls"]
    assert got[3] == {"k3": b"3", "k0": b"0"}
    assert after - before == 1
    await cache.close()


async def test_closing_writes_what_is_queued(redis: RedisServer) -> None:
    cache = cache_on(redis, Counter())
    for n in range(200):
        cache.put(f"k{n}", b"v")
    await cache.close()
    with Redis.from_url(redis.url) as plain:
        assert plain.dbsize() == 200


async def test_a_full_write_queue_drops_and_counts(redis: RedisServer) -> None:
    events: Counter[str] = Counter()
    cache = cache_on(redis, events, write_queue=5)
    for n in range(8):
        cache.put(f"k{n}", b"v")
    assert events["dropped"] == 3
    await cache.close()


async def test_a_frozen_redis_costs_its_timeout_then_the_breaker_opens(redis: RedisServer) -> None:
    events: Counter[str] = Counter()
    cache = cache_on(redis, events, timeout_ms=50, breaker_failures=2, breaker_open_s=60)
    cache.put("a", b"1")
    await until(lambda: events["written"])
    redis.freeze()
    try:
        for _ in range(2):
            assert await cache.get(["a"], soon()) == {}
        await until(lambda: events["timeout"] >= 2)
        assert await cache.get(["a"], soon()) == {}
        assert events["open"] == 1
    finally:
        redis.thaw()
    await cache.close()


async def test_the_deadline_bounds_the_wait(redis: RedisServer) -> None:
    cache = cache_on(redis, Counter(), timeout_ms=60_000)
    await cache.get(["a"], soon())
    redis.freeze()
    try:
        async with asyncio.timeout(30):
            assert await cache.get(["a"], Deadline.after(0.02)) == {}
    finally:
        redis.thaw()
    await cache.close()


def test_a_probe_that_meets_a_connection_that_was_reset_does_not_keep_redis_out(redis: RedisServer) -> None:
    """uvloop, on which the service runs, has an error of its own for such a connection."""

    async def reset_then_probe(proxy: FaultProxy) -> None:
        breaker = CircuitBreaker(1, 0.01)
        settings = RedisSettings.model_validate({"url": f"redis://127.0.0.1:{proxy.port}/0"})
        cache = RedisCache(settings, breaker, lambda event: None)
        async with asyncio.timeout(30):
            while await cache.get(["a"], soon()) != {"a": None}:  # noqa: ASYNC110 -- nothing to wait for
                await asyncio.sleep(0.02)
            proxy.set("reset")
            await asyncio.sleep(0.1)  # so that the loop knows of it before the next call
            proxy.set("pass")
            ticket = breaker.enter()
            assert ticket is not None
            breaker.failed(ticket)
            while await cache.get(["a"], soon()) != {"a": None}:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        await cache.close()

    with FaultProxy(redis.port) as proxy, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(reset_then_probe(proxy))


async def test_a_killed_redis_is_a_miss_and_comes_back(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    events: Counter[str] = Counter()
    cache = cache_on(redis, events, breaker_failures=1, breaker_open_s=0.02)
    cache.put("a", b"1")
    await until(lambda: events["written"])
    redis.kill()
    assert await cache.get(["a"], soon()) == {}
    cache.put("b", b"2")
    redis.start()

    async def back() -> None:
        while not events["written"] > 1:
            cache.put("c", b"3")
            await cache.get(["c"], soon())
            await asyncio.sleep(0.01)

    async with asyncio.timeout(30):
        await back()
    assert await cache.get(["c"], soon()) == {"c": b"3"}
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == ["redis is away, going on without it", "redis answers again"]
    await cache.close()


async def test_item_features_come_from_the_shared_cache(redis: RedisServer) -> None:
    codec = FeatureCodec(3, D)
    value = np.arange(3 * D, dtype=np.float16).reshape(3, D)
    with Redis.from_url(redis.url) as plain:
        plain.set(item_key("v", "known"), codec.encode(value))
        plain.set(item_key("v", "broken"), b"short")
    cache = cache_on(redis, Counter())
    known, features = await ProducedFeatures("v", codec, cache).features(["new", "known", "broken"], soon())
    assert known == ["known"]
    assert np.array_equal(features, value[None])
    await cache.close()
    assert (await ProducedFeatures("v", codec, None).features(["known"], soon()))[0] == []


def test_a_service_serves_what_another_has_encoded(demo: Demo, redis: RedisServer) -> None:
    settings = make_settings(demo.bundle.path, demo.index, redis={"url": redis.url, "timeout_ms": 5000})
    body = {"query": "red running shoes", "k": 5, "explain": True}
    with serving(settings) as first, httpx.Client(base_url=first.url) as client:
        one = client.post("/recall", json=body).json()
        with Redis.from_url(redis.url) as plain:
            wait_for(lambda: plain.exists(query_key(demo.bundle.version, normalise("red running shoes"))))
    with serving(settings) as second, httpx.Client(base_url=second.url) as client:
        two = client.post("/recall", json=body).json()
    assert (one["explain"]["cache"], two["explain"]["cache"]) == ("miss", "redis")
    assert one["items"] == two["items"]


def test_what_somebody_else_wrote_under_our_key_is_a_miss(demo: Demo, redis: RedisServer) -> None:
    key = query_key(demo.bundle.version, normalise("tea cup"))
    with Redis.from_url(redis.url) as plain:
        plain.set(key, b"not experts")
    settings = make_settings(demo.bundle.path, demo.index, redis={"url": redis.url, "timeout_ms": 5000})
    with serving(settings) as server, httpx.Client(base_url=server.url) as client:
        answer = client.post("/recall", json={"query": "tea cup", "explain": True}).json()
    assert answer["explain"]["cache"] == "miss"


def test_redis_killed_midway_costs_no_request(demo: Demo, redis: RedisServer) -> None:
    knobs = {"url": redis.url, "breaker_failures": 2, "breaker_open_s": 0.05}
    settings = make_settings(demo.bundle.path, demo.index, redis=knobs)
    with serving(settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:

        def ask(n: int) -> None:
            response = client.post("/recall", json={"query": f"shoes number {n}", "k": 3})
            assert response.status_code == 200
            assert response.json()["degraded"] == []
            assert len(response.json()["items"]) == 3

        for n in range(10):
            ask(n)
        redis.kill()
        for n in range(10, 30):
            ask(n)
        redis.start()
        for n in range(30, 40):
            ask(n)
        assert client.get("/readyz").status_code == 200


def test_a_service_starts_without_its_redis(demo: Demo, redis: RedisServer) -> None:
    redis.kill()
    settings = make_settings(demo.bundle.path, demo.index, redis={"url": redis.url})
    with serving(settings) as server, httpx.Client(base_url=server.url) as client:
        assert client.post("/recall", json={"query": "shoes"}).status_code == 200
