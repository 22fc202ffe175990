"""Honest answers: whatever is missing or fails, an answer that is less than what was asked for says so."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from redis import Redis

from artifacts.bundle.portrait import Behaviour
from artifacts.cache.codec import PortraitCodec, StoredPortrait
from artifacts.cache.keys import user_key
from devtools.redis import RedisServer, redis_server
from devtools.waiting import free_port
from service.admission import LoadShedding
from service.app import create_app
from service.degraded import degraded_words, told
from service.errors import ModelFailed, Overloaded
from service.runtime import Runtime
from tests.service.conftest import Demo
from tests.support import shop
from tests.support.bundle import D
from tests.support.index import MemoryIndex
from tests.support.serving import in_process, make_settings, memory_index, opener_in_memory

pytestmark = pytest.mark.xdist_group("redis")
K, ITEMS = 20, 60


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


class Service:
    def __init__(self, client: httpx.AsyncClient, index: MemoryIndex, runtime: Runtime) -> None:
        self.client = client
        self.index = index
        self.runtime = runtime

    async def ask(self, **body: Any) -> tuple[int, dict[str, Any]]:
        answer = await self.client.post("/recall", json={"k": K, **body})
        return answer.status_code, answer.json()


@asynccontextmanager
async def started(demo: Demo, redis: str | None, **groups: Any) -> AsyncIterator[Service]:
    index = memory_index(demo.bundle)
    # A time-out that a busy machine keeps: what is meant to fail here fails at once.
    settings = make_settings(None, None, redis={"url": redis, "timeout_ms": 5000}, **groups)
    app = create_app(settings, opener=opener_in_memory(demo.bundle, index))
    async with in_process(app) as client:
        yield Service(client, index, app.state.runtime)


def store(demo: Demo, shared: RedisServer) -> None:
    """A user with a portrait, one with a damaged one, and one whose items nobody knows."""
    codec = PortraitCodec(3, D)
    features = np.random.default_rng(0).normal(size=(1, 3, D)).astype(np.float16)
    known = codec.encode(StoredPortrait([Behaviour("i1", "click")], ["i1"], features))
    unknown = codec.encode(StoredPortrait([Behaviour("gone", "click")], [], features[:0]))
    with Redis.from_url(shared.url) as client:
        for user, value in (("known", known), ("unknown", unknown), ("damaged", known[:-3])):
            client.set(user_key(demo.bundle.version, user), value)


# -- the user's stored history ------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["red shoes", ""])
@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("known", []),
        ("nobody", []),
        ("unknown", ["history_unknown"]),
        ("damaged", ["portrait_unavailable"]),
    ],
)
async def test_a_portrait_that_cannot_be_read_is_told_apart_from_none(
    demo: Demo, shared: RedisServer, query: str, user: str, words: list[str]
) -> None:
    store(demo, shared)
    async with started(demo, shared.url) as service:
        status, answer = await service.ask(query=query, user_id=user)
        lookups = (await service.client.get("/metrics")).text
    assert status == 200
    if query == "" and user != "known":
        words = [*words, "nothing_to_search_by"]
        assert answer["items"] == []
    else:
        assert len(answer["items"]) == K
    assert answer["degraded"] == words
    label = {"known": "yes", "unknown": "yes", "nobody": "no", "damaged": "damaged"}[user]
    assert f'mrse_portrait_lookups_total{{found="{label}"}} 1.0' in lookups


@pytest.mark.parametrize("query", ["red shoes", ""])
async def test_redis_that_is_away_is_said_and_a_browse_is_no_silent_nothing(demo: Demo, query: str) -> None:
    async with started(demo, f"redis://127.0.0.1:{free_port()}") as service:
        for _ in range(5):  # the breaker opens on the way
            status, answer = await service.ask(query=query, user_id="known")
            assert status == 200
            assert answer["degraded"][0] == "portrait_unavailable"
            assert bool(answer["items"]) == bool(query)
        metrics = (await service.client.get("/metrics")).text
        assert 'mrse_portrait_lookups_total{found="away"} 5.0' in metrics
        assert 'mrse_degraded_total{reason="portrait_unavailable"} 5.0' in metrics


# -- pictures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ModelFailed("broken"), Overloaded("full")])
async def test_a_picture_that_cannot_be_looked_at_is_skipped_where_there_are_words(
    demo: Demo, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = shop.picture_base64("red")
    async with started(demo, None) as service:
        encoder = service.runtime.deployments["control"].encoder

        async def fails(job: object) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(encoder.pictures, "submit", fails)
            status, answer = await service.ask(query="red shoes", picture=picture)
            assert (status, answer["degraded"]) == (200, ["picture_skipped"])
            assert len(answer["items"]) == K
            assert (await service.ask(picture=picture))[0] == 503, "a picture alone has no words to go by"
        status, answer = await service.ask(query="red shoes", picture=picture, explain=True)
        assert (status, answer["degraded"]) == (200, [])
        assert answer["explain"]["cache"] == "miss", "the words' experts were not kept as the picture's"


# -- every fault with every other ----------------------------------------------------------------------------


@contextmanager
def fails(index: MemoryIndex, name: str) -> Iterator[None]:
    index.fail.add(name)
    yield
    index.fail.discard(name)


@contextmanager
def covers(index: MemoryIndex, share: float) -> Iterator[None]:
    index.coverage = share
    yield
    index.coverage = 1.0


FAULTS: dict[str, Callable[[Service], Any]] = {
    "search": lambda s: fails(s.index, "search"),
    "vectors": lambda s: fails(s.index, "vectors"),
    "features": lambda s: fails(s.index, "features"),
    "coverage": lambda s: covers(s.index, 0.5),
}
SHEDDING = [
    LoadShedding(0.0, 1.0, False),
    LoadShedding(0.6, 1.0, False),
    LoadShedding(0.8, 0.5, False),
    LoadShedding(0.9, 0.5, True),
]
HISTORIES: list[list[dict[str, str]]] = [
    [],
    [{"item_id": "i12", "action": "click"}],
    [{"item_id": "gone", "action": "click"}],
]
SHAPES = [
    {"query": query, "history": history, **({"user_id": user} if user else {})}
    for query, history, user in itertools.product(
        ["", "red shoes"], HISTORIES, [None, "known", "nobody", "damaged", "unknown"]
    )
    if query or history or user
]


@pytest.mark.parametrize("away", [False, True], ids=["redis", "no redis"])
async def test_fewer_items_than_asked_for_and_a_lost_history_always_have_a_word(
    demo: Demo, shared: RedisServer, away: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(demo, shared)
    url = f"redis://127.0.0.1:{free_port()}" if away else shared.url
    words, seen = degraded_words(), set()
    async with started(demo, url) as service:
        faults = [set(some) for n in range(len(FAULTS) + 1) for some in itertools.combinations(FAULTS, n)]
        for turn, (broken, shed) in enumerate(itertools.product(faults, SHEDDING)):
            with ExitStack() as stack:
                for name in broken:
                    stack.enter_context(FAULTS[name](service))
                patch = stack.enter_context(monkeypatch.context())
                patch.setattr(service.runtime.recaller, "recall", shedding_as(service.runtime, shed))
                # A third of the shapes in each turn: every shape meets all faults together, and all shedding.
                for shape in SHAPES[turn % 3 :: 3]:
                    status, answer = await service.ask(**shape)
                    case = (sorted(broken), shed, shape, answer)
                    assert status in (200, 503), case
                    if status == 503:
                        assert "search" in broken, case
                        continue
                    degraded = answer["degraded"]
                    seen.update(degraded)
                    assert set(degraded) <= set(words), case
                    assert len(set(degraded)) == len(degraded), case
                    assert len(answer["items"]) == K or degraded, case
                    assert not answer["partial"] or degraded, case
                    if broken & {"vectors", "coverage"} and answer["items"] and shed.load < 0.5:
                        assert degraded, case
                    named = shape.get("user_id") if not shape["history"] else None
                    if named and away and not shed.no_portrait:
                        assert "portrait_unavailable" in degraded, case
    assert {"no_i2i", "fewer_candidates", "no_portrait", "history_unavailable", "q2i_coverage"} <= seen


def shedding_as(runtime: Runtime, shed: LoadShedding) -> Callable[..., Any]:
    real = runtime.recaller.recall

    async def recall(
        deployment: Any, query: Any, options: Any, shedding: Any, deadline: Any, turns: Any
    ) -> Any:
        return await real(deployment, query, options, shed, deadline, turns)

    return recall


# -- the list ----------------------------------------------------------------------------------------------


async def test_each_word_has_a_sentence_in_the_schema_and_a_metric(demo: Demo) -> None:
    words = degraded_words()
    async with started(demo, None) as service:
        document = (await service.client.get("/openapi.json")).json()
        metrics = (await service.client.get("/metrics")).text
    field = document["components"]["schemas"]["RecallAnswer"]["properties"]["degraded"]
    assert field["items"]["enum"] == list(words)
    assert told(words) in field["description"]
    for word, sentence in words.items():
        assert sentence.endswith("."), word
        assert f'mrse_degraded_total{{reason="{word}"}}' in metrics


def test_each_word_has_a_row_for_the_operator() -> None:
    text = (Path(__file__).parents[2] / "docs" / "failures.md").read_text()
    missing = [word for word in degraded_words() if f"`{word}`" not in text]
    assert not missing
