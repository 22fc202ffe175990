"""Routes run side by side, wait, fail alone, and are left out; a route of our own goes all the way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest

from artifacts.bundle import Behaviour
from common.arrays import F32
from common.deadline import Deadline
from index.filters import Filter
from index.port import FirstSearch, IndexUnavailable, Neighbours, Related
from service.recall.routes import ROUTES, register
from service.recall.routes.neighbours import NeighbourCache
from service.recall.routes.outcome import Candidate, RouteOutcome
from service.recall.routes.route import Earlier, Route, RouteRequest, RouteSettings, Share
from service.recall.run import run_routes
from service.telemetry.metrics import Metrics
from tests.service.conftest import Demo
from tests.service.http.test_health import value
from tests.support.index import MemoryIndex
from tests.support.serving import make_settings, serving


class Toy(Route[RouteSettings]):
    """Notes when it begins and ends, and does what it is told to."""

    settings = RouteSettings

    def __init__(
        self, name: str, log: list[str], *, needs: str | None = None, error: Exception | None = None
    ):
        self.name = name  # type: ignore[misc]
        self._log = log
        self._needs = needs
        self._error = error

    def waits(self, request: RouteRequest) -> bool:
        return self._needs is not None

    async def run(self, request: RouteRequest, earlier: Earlier) -> RouteOutcome:
        self._log.append(f"{self.name} begins")
        if self._needs is not None:
            assert earlier[self._needs].done()
        await asyncio.sleep(0)
        if self._error is not None:
            raise self._error
        self._log.append(f"{self.name} ends")
        return RouteOutcome(
            "ok", [Candidate(self.name, 0.5, {"route": self.name, "rank": 1, "score": 0.5})], 1, 1
        )


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Route[Any]]]:
    """The registry, empty, until the test is over."""
    before = dict(ROUTES)
    ROUTES.clear()
    yield ROUTES
    ROUTES.clear()
    ROUTES.update(before)


class FarAway(MemoryIndex):
    """A `FarIndex` that also lists what is popular: the first of its items are; ``tops`` were asked for."""

    def __init__(self, *arrays: Any) -> None:
        super().__init__(*arrays)
        self.tops: list[int] = []

    async def first_search(
        self,
        vector: F32,
        k: int,
        filters: Filter | None,
        deadline: Deadline,
        *,
        ids: Sequence[str],
        head: int,
    ) -> FirstSearch:
        (near,) = await self.search(vector[None], k, filters, deadline)
        return FirstSearch(near, await self.vectors(ids, deadline), {})

    async def related(
        self, vectors: F32, query: F32, k: int, filters: Filter | None, deadline: Deadline
    ) -> Related:
        every = await self.vectors(self._ids, deadline)
        cosines = dict(zip(every.ids, (every.vectors @ query).tolist(), strict=True))
        return Related(await self.search(vectors, k, filters, deadline), cosines)

    async def top(self, attribute: str, k: int, filters: Filter | None, deadline: Deadline) -> Neighbours:
        self.tops.append(k)
        return Neighbours(self._ids[:k], np.arange(len(self._ids), 0, -1, dtype=np.float32)[:k])


def request(seconds: float = 30.0, **tables: RouteSettings) -> RouteRequest:
    index = MemoryIndex("b", ["i1"], np.ones((1, 2), np.float32), np.zeros((1, 3, 4), np.float16))
    cache = NeighbourCache(index, 0, lambda known: None)
    return RouteRequest(
        text="",
        user_id=None,
        embedding=np.ones(2, np.float32),
        k=10,
        filters=None,
        history=[Behaviour("i1", "click")],
        now=datetime(2026, 1, 1, tzinfo=UTC),
        deadline=Deadline.after(seconds),
        tables={name: tables.get(name, RouteSettings()) for name in ROUTES},
        index=index,
        heads=cache,
        neighbours=cache,
    )


def add(*routes: Toy) -> None:
    for route in routes:
        register(route)


async def test_routes_run_side_by_side_and_those_that_wait_run_after_them(
    routes: dict[str, Route[Any]],
) -> None:
    log: list[str] = []
    add(Toy("a", log), Toy("b", log, needs="c"), Toy("c", log))
    outcomes = await run_routes(request(), 0.0)
    assert log == ["a begins", "c begins", "a ends", "c ends", "b begins", "b ends"]
    assert list(outcomes) == ["a", "b", "c"]
    assert {outcome.status for outcome in outcomes.values()} == {"ok"}


class Plain(Toy):
    """Ends without waiting for anything, in the task that it notes."""

    async def run(self, request: RouteRequest, earlier: Earlier) -> RouteOutcome:
        task = asyncio.current_task()
        self._log.append(self.name if task is None else f"{self.name} in {task.get_name()}")
        return RouteOutcome("ok")


async def test_routes_that_wait_for_nothing_take_no_task(routes: dict[str, Route[Any]]) -> None:
    log: list[str] = []
    add(Plain("a", log), Plain("b", log), Plain("c", log, needs="a"))
    whole = asyncio.create_task(run_routes(request(), 0.0), name="whole")
    assert list(await whole) == ["a", "b", "c"]
    assert log == ["a in whole", "b in whole", "c in whole"]


async def test_one_that_waits_holds_up_none_of_those_behind_it(routes: dict[str, Route[Any]]) -> None:
    log: list[str] = []
    add(Plain("a", log), Toy("b", log), Plain("c", log), Toy("d", log))
    whole = asyncio.create_task(run_routes(request(), 0.0), name="whole")
    outcomes = await whole
    assert {outcome.status for outcome in outcomes.values()} == {"ok"}
    assert log[:2] == ["a in whole", "b begins"]
    assert log[2].startswith("c in Task-")
    assert log[3:] == ["d begins", "b ends", "d ends"]


class Slow(Toy):
    """Waits until it is given up."""

    async def run(self, request: RouteRequest, earlier: Earlier) -> RouteOutcome:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._log.append(f"{self.name} is given up")
        raise AssertionError


class Given(Deadline):
    """Leaves each route the seconds that it is given, one after another."""

    def __init__(self, *seconds: float) -> None:
        super().__init__(float("inf"))
        self._seconds = iter(seconds)

    def remaining(self) -> float:
        return next(self._seconds)


async def test_a_route_that_is_late_takes_the_time_of_no_other(routes: dict[str, Route[Any]]) -> None:
    log: list[str] = []
    add(Slow("slow", log), Toy("quick", log), Slow("slower", log), Toy("waits", log, needs="slow"))
    outcomes = await run_routes(replace(request(), deadline=Given(0.001, 30.0, 0.002, 30.0)), 0.0)
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "slow": "timeout",
        "quick": "ok",
        "slower": "timeout",
        "waits": "ok",
    }


async def test_a_request_that_is_given_up_gives_up_its_routes(routes: dict[str, Route[Any]]) -> None:
    log: list[str] = []
    add(Slow("here", log), Slow("behind", log))
    whole = asyncio.create_task(run_routes(request(), 0.0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    whole.cancel()
    with pytest.raises(asyncio.CancelledError):
        await whole
    assert sorted(log) == ["behind is given up", "here is given up"]


async def test_what_becomes_of_one_route_is_not_the_others_trouble(routes: dict[str, Route[Any]]) -> None:
    log: list[str] = []
    add(
        Toy("bug", log, error=RuntimeError("secret")),
        Toy("away", log, error=IndexUnavailable("connection")),
        Toy("late", log, error=IndexUnavailable("deadline")),
        Toy("fine", log),
    )
    outcomes = await run_routes(request(), 0.0)
    assert {name: (o.status, o.reason) for name, o in outcomes.items()} == {
        "bug": ("error", "internal"),
        "away": ("error", "connection"),
        "late": ("timeout", "deadline"),
        "fine": ("ok", None),
    }


async def test_a_route_that_is_not_wanted_is_not_shed(routes: dict[str, Route[Any]]) -> None:
    class Picky(Toy):
        def wanted(self, request: RouteRequest) -> bool:
            return request.pictured

    register(Picky("picky", log := []))
    asked = request(picky=RouteSettings(shed_at=0.5))
    (outcome,) = (await run_routes(asked, 0.6)).values()
    assert (outcome.status, outcome.reason) == ("skipped", "nothing that it searches by")
    (outcome,) = (await run_routes(replace(asked, pictured=True), 0.6)).values()
    assert (outcome.status, log) == ("shed", [])


async def test_a_route_that_is_off_or_shed_does_not_run(routes: dict[str, Route[Any]]) -> None:
    log: list[str] = []
    add(Toy("off", log), Toy("light", log), Toy("heavy", log))
    tables = {
        "off": RouteSettings(enabled=False, shed_at=0),
        "light": RouteSettings(shed_at=0.9),
        "heavy": RouteSettings(shed_at=0.5),
    }
    outcomes = await run_routes(request(**tables), 0.6)
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "off": "skipped",
        "light": "ok",
        "heavy": "shed",
    }
    assert log == ["light begins", "light ends"]


# -- a route of our own -----------------------------------------------------------------------------------


class FavouritesSettings(RouteSettings):
    """The table ``[recall.favourites]``."""

    items: Sequence[str] = ("i5", "i6")
    shed_at: Share | None = 0.9


class Favourites(Route[FavouritesSettings]):
    """What everybody buys."""

    name = "favourites"
    settings = FavouritesSettings

    async def run(self, request: RouteRequest, earlier: Earlier) -> RouteOutcome:
        items = self.table(request).items
        request.notes[self.name] = len(items)
        candidates = [
            Candidate(item, 2.0, {"route": self.name, "rank": rank, "score": 2.0})
            for rank, item in enumerate(items, start=1)
        ]
        return RouteOutcome("ok", candidates, len(candidates), coverage=1.0)

    def explain(self, note: object) -> dict[str, Any]:
        return {"favourites": note}


@pytest.fixture
def popular() -> Iterator[None]:
    register(Favourites())
    yield
    del ROUTES["favourites"]


def test_a_route_that_is_registered_is_run_counted_and_explained(demo: Demo, popular: None) -> None:
    recall = {"q2i": {"share": 0.7}, "favourites": {"share": 0.1, "items": ["i7", "i8"]}}
    experiments = {
        "favourites": {
            "off": {"weight": 0, "forced": True, "recall": {"favourites": {"enabled": False}}},
            "on": {},
        }
    }
    settings = make_settings(demo.bundle.path, demo.index, recall=recall, experiments=experiments)
    with serving(settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        body = {"query": "red shoes", "k": 10, "explain": True}
        answer = client.post("/recall", json=body).json()
        assert [item["item_id"] for item in answer["items"][:2]] == ["i7", "i8"]
        assert answer["routes"]["favourites"]["status"] == "ok"
        assert answer["explain"]["favourites"] == 2
        assert answer["explain"]["stages_ms"]["favourites"] >= 0
        assert value(client, "mrse_index_coverage_ratio_count", route="favourites") == 1
        assert value(client, "mrse_stage_duration_seconds_count", stage="favourites") == 1
        assert value(client, "mrse_degraded_total", reason="favourites_timeout") == 0
        off = client.post("/recall", json=body, headers={"X-Experiment": "favourites=off"}).json()
        assert off["routes"]["favourites"] == answer["routes"]["favourites"] | {
            "status": "skipped",
            "returned": 0,
            "coverage": 0.0,
            "took_ms": 0.0,
            "reason": "turned off",
        }
        assert off["explain"]["favourites"] is None


def test_a_route_or_a_reason_that_nobody_registered_is_counted_all_the_same() -> None:
    metrics = Metrics()
    metrics.stages([("new", 0.1)])
    metrics.index.coverage("new", 0.5)
    metrics.degraded(["new_timeout"])
    text = metrics.render().decode()
    assert 'mrse_stage_duration_seconds_count{stage="new"} 1.0' in text
    assert 'mrse_index_coverage_ratio_count{route="new"} 1.0' in text
    assert 'mrse_degraded_total{reason="other"} 1.0' in text


async def test_what_is_known_of_a_query_asks_nothing_of_the_index_until_it_changes() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((20, 8), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = MemoryIndex("b", [f"i{n}" for n in range(20)], vectors, np.zeros((20, 3, 4), np.float16))
    index.revision = 1
    cache = NeighbourCache(index, 100, lambda known: None)
    tables = {name: ROUTES[name].settings() for name in ("q2i", "i2i")}
    asked = replace(
        request(),
        embedding=vectors[7],
        history=[],
        k=20,
        common=True,
        tables=tables,
        index=index,
        heads=cache,
        neighbours=cache,
    )
    first = await run_routes(asked, 0.0)
    index.fail = {"search", "vectors"}
    again = await run_routes(asked, 0.0)
    assert first["i2i"].candidates
    assert {name: each.candidates for name, each in first.items()} == {
        name: each.candidates for name, each in again.items()
    }
    index.revision = 2
    assert (await run_routes(asked, 0.0))["q2i"].status == "error"


def browsing(k: int = 10) -> tuple[FarAway, RouteRequest]:
    """A browse of who looked at i3 now, and long ago at i5 and i7; that they are too old is I2I's to say."""
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((20, 8), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = FarAway("b", [f"i{n}" for n in range(20)], vectors, np.zeros((20, 3, 4), np.float16))
    asked = request()
    old = asked.now - timedelta(days=60)
    history = [
        Behaviour("i3", "click", asked.now),
        Behaviour("i5", "click", old),
        Behaviour("i7", "click", old),
    ]
    cache = NeighbourCache(index, 0, lambda known: None)
    return index, replace(
        asked,
        embedding=vectors[3],
        history=history,
        k=k,
        browse=True,
        tables={name: ROUTES[name].settings() for name in ("q2i", "i2i", "popular")},
        index=index,
        heads=cache,
        neighbours=cache,
        ranked=index,
    )


async def test_a_browse_finds_the_same_in_an_index_that_is_far_and_in_one_that_is_near() -> None:
    index, near = browsing()
    far = replace(near, far=index, notes={})
    found = {asked.far: await run_routes(asked, 0.0) for asked in (near, far)}
    for asked in (near, far):
        explained = ROUTES["i2i"].explain(asked.notes["i2i"])
        assert [trigger["item_id"] for trigger in explained["triggers"]] == ["i3"]
        assert ROUTES["popular"].explain(asked.notes["popular"])["popular"]["history"] == 3
    for name in ("q2i", "i2i", "popular"):
        ids = [[candidate.item_id for candidate in each[name].candidates] for each in found.values()]
        assert ids[0] == ids[1] != []


@pytest.mark.parametrize(("k", "wanted"), [(10, 200), (1000, 2000), (6000, 10_000), (12_000, 12_000)])
async def test_a_browse_asks_for_no_more_popular_items_than_an_engine_gives(k: int, wanted: int) -> None:
    index, asked = browsing(k)
    await run_routes(asked, 0.0)
    assert index.tops == [wanted]
