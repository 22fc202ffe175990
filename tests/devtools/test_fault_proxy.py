"""What a proxy lets go wrong, as a client of a real Redis sees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from devtools.fault_proxy import Fault, FaultProxy
from devtools.redis import redis_server


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[FaultProxy]:
    with redis_server(tmp_path) as server, FaultProxy(server.port) as proxy:
        yield proxy


def test_answers_pass_until_something_is_planted_and_again_after(proxy: FaultProxy) -> None:
    with Redis(port=proxy.port, socket_timeout=5) as client:
        client.set("a", "1")
        proxy.set("delay", 0.001)
        assert client.get("a") == b"1"
        proxy.set("pass")
        assert client.get("a") == b"1"


@pytest.mark.parametrize("fault", ["stall", "reset", "garbage", "cut", "refuse"])
def test_a_fault_is_seen_and_ends(proxy: FaultProxy, fault: Fault) -> None:
    with Redis(port=proxy.port, socket_timeout=0.2, retry=Retry(NoBackoff(), 0)) as client:
        client.set("a", "1" * 100)
        proxy.set(fault)
        with pytest.raises((RedisError, OSError)):
            assert client.get("a") == "never"
    proxy.set("pass")
    with Redis(port=proxy.port, socket_timeout=5) as client:
        assert client.get("a") == b"1" * 100
