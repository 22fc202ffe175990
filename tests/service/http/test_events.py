"""Events: in the stream once acknowledged, and told one by one where they cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from artifacts.actions import ACTIONS
from devtools.redis import RedisServer
from producer.stream import BehaviourStream, parse
from service.access.keyfile import new_key
from tests.service.conftest import Demo
from tests.support.serving import Server, make_settings, serving

STREAM = "behaviours"
CLICK = {"user_id": "u1", "item_id": "i3", "action": "click", "ts": "2026-11-19T10:00:00+01:00"}
TOKEN = {"authorization": "Bearer hush"}


class Taking:
    """A service that takes events, and its stream."""

    def __init__(self, server: Server, redis: RedisServer) -> None:
        self.server = server
        self.redis = redis
        self.client = httpx.Client(base_url=server.url, headers=TOKEN, timeout=60)
        self.store = Redis.from_url(redis.url)

    def __enter__(self) -> Taking:
        return self

    def __exit__(self, *error: object) -> None:
        self.client.close()
        self.store.close()

    def tell(self, *events: Any) -> httpx.Response:
        return self.client.post("/events", json={"events": events})

    def entries(self) -> list[dict[bytes, bytes]]:
        found: Any = self.store.xrange(STREAM)
        return [fields for _, fields in found]


def groups(redis: RedisServer, **events: Any) -> dict[str, Any]:
    return {
        "server": {"admin_token": "hush"},
        "redis": {"url": redis.url, "timeout_ms": 2000},
        "events": {"stream": STREAM, **events},
    }


@pytest.fixture
def taking(demo: Demo, redis: RedisServer) -> Iterator[Taking]:
    settings = make_settings(demo.bundle.path, demo.index, **groups(redis, kept=1000))
    with serving(settings) as server, Taking(server, redis) as taking:
        yield taking


def test_events_are_in_the_stream_as_the_follower_reads_them(taking: Taking) -> None:
    late = {"user_id": "ü/2", "item_id": "nobody", "action": "order"}
    answer = taking.tell(CLICK, late)
    assert (answer.status_code, answer.json()) == (200, {"taken": 2, "unknown": ["nobody"], "refused": []})
    stream = BehaviourStream(taking.store, STREAM, "group", "me")
    stream.join()
    read = [parse(entry, datetime.now(UTC)) for entry in stream.read(10, 0.1)]
    (user, behaviour), (other, now) = (each for each in read if each is not None)
    assert (user, behaviour.item_id, behaviour.action) == ("u1", "i3", "click")
    assert behaviour.ts == datetime(2026, 11, 19, 9, tzinfo=UTC)
    assert (other, now.item_id) == ("ü/2", "nobody")
    assert abs(now.ts - datetime.now(UTC)) < timedelta(minutes=5)
    assert 'mrse_events_total{result="taken"} 2.0' in taking.client.get("/metrics").text


REFUSED: dict[str, tuple[Any, str, str]] = {
    "impression": ({**CLICK, "action": "impression"}, "action", "click"),
    "no user": ({**CLICK, "user_id": ""}, "user_id", "at least 1"),
    "a long user": ({**CLICK, "user_id": "u" * 129}, "user_id", "at most 128"),
    "no item": ({key: CLICK[key] for key in ("user_id", "action")}, "item_id", "required"),
    "no time zone": ({**CLICK, "ts": "2026-11-19T10:00:00"}, "ts", "timezone"),
    "next year": ({**CLICK, "ts": f"{datetime.now(UTC).year + 1}-12-31T00:00:00Z"}, "ts", "over a day ahead"),
    "another field": ({**CLICK, "price": 1}, "price", "no such field"),
    "no object": (7, "", "object"),
}


def test_each_event_that_cannot_be_used_is_told_and_the_others_are_taken(taking: Taking) -> None:
    answer = taking.tell(CLICK, *(event for event, _, _ in REFUSED.values()))
    assert answer.status_code == 207
    assert answer.json()["taken"] == 1
    for number, ((name, (event, field, words)), refused) in enumerate(
        zip(REFUSED.items(), answer.json()["refused"], strict=True), start=1
    ):
        (error,) = refused["errors"]
        assert refused["place"] == number
        assert error["field"] == f"events.{number}" + (f".{field}" if field else ""), name
        assert words in error["reason"], (name, error)
        assert taking.tell(event).status_code == 422, name
    assert len(taking.entries()) == 1
    for body in ({"events": []}, {"events": [CLICK] * 1001}, {}):
        assert taking.client.post("/events", json=body).status_code == 422
    assert all(taking.tell({**CLICK, "action": action}).status_code == 200 for action in ACTIONS.behaviours)


def test_redis_that_is_away_is_a_503_and_nothing_half_is_there(taking: Taking) -> None:
    assert taking.tell(CLICK).status_code == 200
    taking.store.delete(STREAM)
    taking.store.set(STREAM, "no stream")
    refused = taking.tell(CLICK, CLICK)
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/unavailable")
    taking.store.delete(STREAM)
    taking.redis.kill()
    refused = taking.tell(CLICK)
    assert refused.status_code == 503
    assert "send them again" in refused.json()["detail"]
    assert refused.headers["retry-after"]
    taking.redis.start()
    assert taking.tell(CLICK, CLICK).status_code == 200
    assert len(taking.entries()) == 2


def test_a_redis_that_may_evict_the_stream_is_told_of_once(
    taking: Taking, caplog: pytest.LogCaptureFixture
) -> None:
    taking.store.config_set("maxmemory-policy", "allkeys-lru")
    for _ in range(3):
        taking.server.runtime.events._looked = -1e9
        assert taking.tell(CLICK).status_code == 200
    assert [record.message for record in caplog.records if "evict" in record.message] == [
        "redis may evict the stream of events"
    ]


def test_no_entry_is_trimmed_that_a_follower_has_yet_to_finish(taking: Taking) -> None:
    events = [{**CLICK, "user_id": f"u{n}"} for n in range(900)]
    stream = BehaviourStream(taking.store, STREAM, "group", "me")
    stream.join()
    looked = taking.server.runtime.events
    taking.tell(*events)
    first = stream.read(300, 0.1)
    taking.tell(*events)
    looked._looked = -1e9
    assert taking.tell(CLICK).status_code == 200
    assert len(taking.entries()) == 1801, "nothing is finished yet"
    stream.finish([entry_id for entry_id, _ in first], [])
    looked._looked = -1e9
    taking.tell(CLICK)
    assert 1500 <= len(taking.entries()) <= 1601
    taking.tell(*events)
    looked._looked = -1e9
    full = taking.tell(CLICK)
    assert (full.status_code, full.json()["type"]) == (503, "/problems/overloaded")
    rest = stream.read(5000, 0.1)
    assert {fields[b"user"] for _, fields in rest} >= {b"u899", b"u300"}
    stream.finish([entry_id for entry_id, _ in rest], [])
    looked._looked = -1e9
    assert taking.tell(CLICK).status_code == 200
    taking.store.xgroup_destroy(STREAM, "group")
    taking.tell(*events)
    looked._looked = -1e9
    taking.tell(CLICK)
    assert len(taking.entries()) <= 1101, "nobody follows: about so many are kept"


def test_a_user_is_forgotten_in_the_stream_too(taking: Taking) -> None:
    mine = [{**CLICK, "user_id": "u/1 *"} for _ in range(3)]
    others = [{**CLICK, "user_id": f"u/1 *{n}"} for n in range(700)]
    taking.tell(*others, *mine)
    taking.tell(*others, mine[0])
    taking.store.xadd(f"{STREAM}:dead", {"reason": "ts", "entry:user": "u/1 *", "entry:item": "i1"})
    forgotten = taking.client.delete("/users/u%2F1%20*").json()
    assert (forgotten["events"], forgotten["portraits"]) == (5, 0)
    assert b"u/1 *" not in {fields[b"user"] for fields in taking.entries()}
    assert len(taking.entries()) == 1400
    assert taking.client.delete("/users/u%2F1%20*").json()["events"] == 0
    taking.redis.kill()
    away = taking.client.delete("/users/u%2F1%20*")
    assert (away.status_code, "may still be there" in away.json()["detail"]) == (503, True)


def test_where_no_stream_is_set_events_are_refused_with_what_to_set(
    demo: Demo, redis: RedisServer, tmp_path: Path
) -> None:
    for missing, words in (
        (groups(redis, stream=None), "events.stream"),
        (groups(redis) | {"redis": {}}, "redis.url"),
    ):
        with serving(make_settings(demo.bundle.path, demo.index, **missing)) as server:
            answer = httpx.post(f"{server.url}/events", json={"events": [CLICK]}, headers=TOKEN)
            assert (answer.status_code, answer.json()["type"]) == (501, "/problems/not-taken")
            assert words in answer.json()["detail"]
    on_disk = make_settings(demo.bundle.path, demo.index, **groups(redis, on_disk=True, redis_url=redis.url))
    with serving(on_disk) as server:  # this Redis writes nothing to its disk
        answer = httpx.post(f"{server.url}/events", json={"events": [CLICK]}, headers=TOKEN)
        assert answer.status_code == 503


def test_events_need_a_key_of_their_own_and_count_for_its_rate(
    demo: Demo, redis: RedisServer, tmp_path: Path
) -> None:
    keys = {name: new_key(name, [name], rate=1, burst=5) for name in ("events", "write")}
    file = tmp_path / "keys.toml"
    file.write_text("".join(lines for _, lines in keys.values()))
    settings = make_settings(
        demo.bundle.path, demo.index, **groups(redis), access={"keys": file, "anonymous": ["read"]}
    )

    def tell(who: str | None, count: int) -> int:
        headers = {} if who is None else {"authorization": f"Bearer {keys[who][0]}"}
        return httpx.post(
            f"{server.url}/events", json={"events": [CLICK] * count}, headers=headers
        ).status_code

    with serving(settings) as server:
        assert tell(None, 1) == 401
        assert tell("write", 1) == 403
        assert [tell("events", 5), tell("events", 5)] == [200, 429]
        removal = httpx.delete(
            f"{server.url}/items/i1", headers={"authorization": f"Bearer {keys['events'][0]}"}
        )
        assert removal.status_code in (403, 429)
