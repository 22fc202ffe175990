"""Stored portraits: made from a log, merged with what is there, and read by the service in one MGET."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
from redis import Redis

from artifacts.actions import ACTIONS
from artifacts.cache.codec import PortraitCodec, StoredPortrait
from artifacts.cache.keys import user_key
from artifacts.embeddings import EmbeddingsError
from devtools.redis import RedisServer
from index.embedded.build import build_index
from producer.features import open_features, read_embeddings
from producer.fill import fill
from producer.histories import Histories, LogRow
from producer.portraits import PortraitJob
from producer.store import Store
from tests.producer.conftest import Made, random_log
from tests.support.bundle import DIMENSIONS, D
from tests.support.serving import Server, make_settings, serving

CODEC = PortraitCodec(3, D)


def fill_portraits(made: Made, client: Redis, log: list[LogRow], features: Path | None = None) -> Histories:
    histories = Histories.collect(log, DIMENSIONS.history, ACTIONS.behaviours)
    table = open_features(features or made.embeddings, histories.item_ids)
    job = PortraitJob(histories, table, made.bundle.manifest)
    filled = fill(job, Store(client, 1000), batch=64)
    assert filled.written == len(histories)
    return histories


def stored(made: Made, client: Redis, user: str) -> StoredPortrait:
    portrait = CODEC.decode(client.get(user_key(made.bundle.version, user)))
    assert portrait is not None
    return portrait


def test_a_portrait_holds_the_last_behaviours_and_the_features_of_known_items(
    made: Made, client: Redis
) -> None:
    log = random_log(users=150, rows=3000)
    histories = fill_portraits(made, client, log)
    table = read_embeddings(made.embeddings)
    rows = {item_id: row for row, item_id in enumerate(table.ids)}
    for user in histories.users:
        portrait = stored(made, client, user)
        times = sorted((ts for u, _, a, ts in log if u == user and a != "impression"), reverse=True)
        assert [b.ts for b in portrait.behaviours] == times[: DIMENSIONS.history]
        items = {b.item_id for b in portrait.behaviours}
        assert set(portrait.known) == {i for i in items if not i.startswith("gone")}
        wanted = table.features[[rows[item] for item in portrait.known]].reshape(-1, 3, D)
        assert np.array_equal(portrait.features, wanted)


def test_an_index_folder_serves_as_well_as_embeddings(made: Made, client: Redis, tmp_path: Path) -> None:
    build_index(made.embeddings, tmp_path / "index")
    log = random_log(users=20, rows=300)
    fill_portraits(made, client, log)
    before = {key: client.get(key) for key in client.keys("*")}
    client.flushdb()
    fill_portraits(made, client, log, tmp_path / "index")
    assert {key: client.get(key) for key in client.keys("*")} == before


def test_later_behaviours_that_are_stored_already_survive_an_older_log(made: Made, client: Redis) -> None:
    now = datetime.now(UTC)
    later = [("u", f"i{n}", "order", now - timedelta(minutes=n)) for n in range(3)]
    older = [("u", f"i{n}", "click", now - timedelta(days=n)) for n in range(1, 12)]
    fill_portraits(made, client, later)
    fill_portraits(made, client, older)
    both = stored(made, client, "u")
    fill_portraits(made, client, [*older, *later])
    client.delete(user_key(made.bundle.version, "v"))
    assert [b.action for b in both.behaviours[:3]] == ["order"] * 3
    assert len(both.behaviours) == DIMENSIONS.history
    assert list(stored(made, client, "u").behaviours) == list(both.behaviours)


def test_what_is_no_portrait_is_replaced(made: Made, client: Redis) -> None:
    client.set(user_key(made.bundle.version, "u"), b"nonsense")
    fill_portraits(made, client, [("u", "i1", "click", datetime.now(UTC))])
    assert stored(made, client, "u").known == ["i1"]


def test_features_of_another_bundle_are_refused(made: Made, other: Made) -> None:
    histories = Histories.collect(random_log(5, 50), 8, ACTIONS.behaviours)
    with pytest.raises(EmbeddingsError, match=other.bundle.version):
        PortraitJob(histories, read_embeddings(other.embeddings), made.bundle.manifest)


@pytest.fixture
def server(made: Made, redis: RedisServer, tmp_path: Path) -> Iterator[Server]:
    build_index(made.embeddings, tmp_path / "index")
    knobs = {"url": redis.url, "timeout_ms": 5000}
    with serving(make_settings(made.bundle.path, tmp_path / "index", redis=knobs)) as running:
        yield running


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def ask(http: httpx.Client, **body: object) -> dict:  # type: ignore[type-arg]
    response = http.post("/recall", json={"k": 12, "explain": True, **body})
    assert response.status_code == 200, response.text
    answer: dict = response.json()  # type: ignore[type-arg]
    return answer


def test_a_stored_history_answers_as_one_in_the_request(
    made: Made, client: Redis, http: httpx.Client
) -> None:
    # Ages are counted from the moment of the request: old enough that seconds change no digit of a score.
    past = datetime.now(UTC) - timedelta(days=20)
    log = [(u, i, a, ts - timedelta(days=17)) for u, i, a, ts in random_log(12, 120)]
    log += [("v", "i12", "cart", past)]
    histories = fill_portraits(made, client, log)
    for user in histories.users:
        history = [
            {"item_id": b.item_id, "action": b.action, "ts": b.ts.isoformat()}
            for b in stored(made, client, user).behaviours
            if b.ts is not None
        ]
        by_user = ask(http, query="hiking boots", user_id=user)
        by_request = ask(http, query="hiking boots", user_id=user, history=history)
        assert by_user["explain"]["portrait"].pop("stored") is True
        assert by_request["explain"]["portrait"].pop("stored") is False
        assert by_user["explain"]["portrait"] == by_request["explain"]["portrait"]
        one, two = ([t["item_id"] for t in a["explain"]["triggers"]] for a in (by_user, by_request))
        assert one == two
        scores = [{i["item_id"]: i["score"] for i in a["items"]} for a in (by_user, by_request)]
        common = scores[0].keys() & scores[1].keys()
        assert len(common) >= 11
        assert all(abs(scores[0][i] - scores[1][i]) < 1e-3 for i in common)


def test_query_and_portrait_travel_in_one_mget(made: Made, client: Redis, http: httpx.Client) -> None:
    fill_portraits(made, client, [("u", "i12", "click", datetime.now(UTC))])

    def mgets() -> int:
        return int(client.info("commandstats").get("cmdstat_mget", {}).get("calls", 0))

    before = mgets()
    answer = ask(http, query="hiking boots", user_id="u")
    assert answer["explain"]["cache"] == "miss"
    assert answer["explain"]["portrait"] == {"used": ["i12"], "unknown": [], "stored": True}
    assert mgets() == before + 1
    assert ask(http, query="hiking boots", user_id="u")["explain"]["cache"] == "l1"
    assert mgets() == before + 2, "the portrait is read each time, so that a new click counts at once"
    ask(http, query="hiking boots", user_id="u", history=[{"item_id": "i3", "action": "click"}])
    assert mgets() == before + 2, "a history in the request needs no portrait"
    metrics = http.get("/metrics").text
    assert 'mrse_portrait_lookups_total{found="yes"} 2.0' in metrics


def test_a_user_alone_browses_by_the_stored_portrait(made: Made, client: Redis, http: httpx.Client) -> None:
    fill_portraits(made, client, [("u", "i40", "order", datetime.now(UTC))])
    answer = ask(http, query="", user_id="u")
    assert answer["items"]
    assert answer["routes"]["i2i"]["status"] == "ok"
    assert [t["item_id"] for t in answer["explain"]["triggers"]] == ["i40"]
    assert ask(http, user_id="nobody")["items"] == []
    assert ask(http, query="")["degraded"] == ["nothing_to_search_by"]


def test_what_is_no_portrait_costs_the_portrait_alone(
    made: Made, client: Redis, http: httpx.Client, redis: RedisServer
) -> None:
    client.set(user_key(made.bundle.version, "u"), b"nonsense")
    answer = ask(http, query="hiking boots", user_id="u")
    assert answer["items"]
    assert answer["explain"]["portrait"] == {"used": [], "unknown": [], "stored": False}
    redis.kill()
    assert ask(http, query="hiking boots", user_id="u")["items"] == answer["items"]


def test_a_new_portrait_counts_in_the_next_request(made: Made, client: Redis, http: httpx.Client) -> None:
    plain = ask(http, query="shoes", user_id="u")
    log = [("u", f"i{n}", "order", datetime.now(UTC)) for n in (6, 7, 8, 18, 19, 20)]
    fill_portraits(made, client, log)
    personal = ask(http, query="shoes", user_id="u")
    assert [i["item_id"] for i in plain["items"]] != [i["item_id"] for i in personal["items"]]
