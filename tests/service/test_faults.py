"""The model and the index fail in every way: answers are partial or a 503 that says so, never a 500."""

from __future__ import annotations

import itertools
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import numpy as np
import pytest

from service.app import create_app
from service.deployment import Deployment
from tests.service.conftest import Demo
from tests.support import shop
from tests.support.index import MemoryIndex
from tests.support.serving import in_process, make_settings, memory_index, opener_in_memory

HISTORY = [{"item_id": "i12", "action": "click"}]


class Service:
    """A service with real graphs and an index in memory, whose parts can be broken."""

    def __init__(self, client: httpx.AsyncClient, index: MemoryIndex, deployment: Deployment) -> None:
        self.client = client
        self.index = index
        self.deployment = deployment

    async def ask(self, **body: Any) -> httpx.Response:
        return await self.client.post("/recall", json={"query": "red shoes", "k": 5, **body})

    async def metric(self, line: str) -> bool:
        return line in (await self.client.get("/metrics")).text


@pytest.fixture
async def service(demo: Demo) -> AsyncIterator[Service]:
    async with AsyncExitStack() as stack:
        index = memory_index(demo.bundle)
        app = create_app(make_settings(None, None), opener=opener_in_memory(demo.bundle, index))
        client = await stack.enter_async_context(in_process(app))
        yield Service(client, index, app.state.runtime.deployments["control"])


def raises(error: BaseException) -> Callable[..., Any]:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise error

    return broken


def rows_of(value: float) -> Callable[..., Any]:
    """Experts that are all this value, for as many texts as there are."""
    return lambda text, pictures=(): np.full((len(pictures), 3, 16), value, np.float16)


ENCODER_FAULTS = {
    "raises": (raises(ValueError("bug")), "error"),
    "out of memory": (raises(MemoryError()), "error"),
    "ends the thread": (raises(SystemExit(1)), "error"),
    "NaN": (rows_of(np.nan), "not_finite"),
    "infinite": (rows_of(np.inf), "not_finite"),
    "none": (lambda text, pictures=(): np.zeros((0, 3, 16), np.float16), "count"),
    "one too many": (lambda text, pictures=(): np.zeros((len(pictures) + 1, 3, 16), np.float16), "count"),
}


async def test_an_encoder_that_fails_is_503_and_the_query_is_answered_once_it_is_whole(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fault, (broken, how) in ENCODER_FAULTS.items():
        query = f"red shoes {fault}"
        with monkeypatch.context() as patch:
            patch.setattr(service.deployment.encoder.tower, "rounded_experts", broken)
            for _ in range(2):
                answer = await service.ask(query=query)
                assert answer.status_code == 503, (fault, answer.text)
                assert answer.json()["type"] == "/problems/model-failed"
                assert answer.headers["retry-after"]
            assert await service.metric(f'mrse_model_failures_total{{how="{how}",part="encoder"}} ')
            assert not await service.metric(f'mrse_model_failures_total{{how="{how}",part="encoder"}} 0.0')
        answer = await service.ask(query=query)
        assert answer.status_code == 200, "nothing of what failed was kept"
        assert answer.json()["items"]
        assert answer.json()["degraded"] == []


async def test_experts_of_another_shape_are_kept_by_no_cache(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        wrong = lambda text, pictures=(): np.zeros((len(pictures), 1), np.float16)  # noqa: E731
        patch.setattr(service.deployment.encoder.tower, "rounded_experts", wrong)
        assert (await service.ask()).status_code == 503
    assert (await service.ask()).status_code == 200


def fused(embedding: Any, gate: Any) -> Callable[..., Any]:
    from artifacts.bundle.towers import QueryEmbeddings

    return lambda experts, portraits: QueryEmbeddings(
        np.array([embedding], np.float32), np.array([gate], np.float32)
    )


UNIT = [1.0] + [0.0] * 31
FUSION_FAULTS = {
    "raises": raises(RuntimeError("bug")),
    "out of memory": raises(MemoryError()),
    "NaN": fused([np.nan] * 32, [0.3] * 3),
    "a NaN of many": fused([np.nan, *UNIT[1:]], [0.3] * 3),
    "infinite": fused([np.inf] * 32, [0.3] * 3),
    "zeros": fused([0.0] * 32, [0.3] * 3),
    "too long": fused([1.1, *UNIT[1:]], [0.3] * 3),
    "gate of NaN": fused(UNIT, [np.nan] * 3),
    "nothing": lambda experts, portraits: None,
}


async def test_a_fusion_that_fails_is_503_and_keeps_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for (fault, broken), history in itertools.product(FUSION_FAULTS.items(), ([], HISTORY)):
        ask = {"query": f"red shoes {fault}", "history": history}
        with monkeypatch.context() as patch:
            patch.setattr(service.deployment.encoder.tower, "fuse", broken)
            answer = await service.ask(**ask)
            assert answer.status_code == 503, (fault, answer.text)
            assert answer.json()["type"] == "/problems/model-failed"
        assert (await service.ask(**ask)).json()["items"]


INDEX_FAULTS = (RuntimeError("bug"), MemoryError(), ValueError("x"))


async def test_an_index_that_fails_is_503(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in INDEX_FAULTS:
        with monkeypatch.context() as patch:
            patch.setattr(service.index, "search", raises(error))
            patch.setattr(service.index, "vectors", raises(error))
            answer = await service.ask()
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
            similar = await service.client.get("/items/i3/similar")
            assert (similar.status_code, similar.json()["type"]) == (503, "/problems/unavailable")
            batch = {"requests": [{"query": "a"}, {"query": "b"}]}
            results = (await service.client.post("/recall/batch", json=batch)).json()["results"]
            assert [entry["status"] for entry in results] == [503, 503]
        assert (await service.ask()).status_code == 200


async def test_features_that_fail_cost_the_history_and_say_so(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.index, "features", raises(RuntimeError("bug")))
    answer = await service.ask(history=HISTORY)
    assert answer.status_code == 200
    assert answer.json()["degraded"] == ["history_unavailable"]


async def test_an_item_whose_features_are_not_finite_is_unknown_and_spoils_nothing(service: Service) -> None:
    history = [*HISTORY, {"item_id": "i13", "action": "click"}]
    service.index._features[service.index._rows["i12"], 1, 2] = np.nan
    answer = await service.ask(history=history, explain=True)
    assert answer.status_code == 200
    assert answer.json()["explain"]["portrait"]["used"] == ["i13"]
    assert answer.json()["explain"]["portrait"]["unknown"] == ["i12"]


@pytest.mark.parametrize("part", ["encoder", "picture"])
async def test_a_graph_that_hangs_holds_a_request_no_longer_than_its_deadline(
    service: Service, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    tower = service.deployment.encoder.tower
    name = "rounded_experts" if part == "encoder" else "picture_features"
    real = getattr(tower, name)

    def hangs(*args: Any) -> Any:
        release.wait(60)
        return real(*args)

    monkeypatch.setattr(tower, name, hangs)
    try:
        body = {"picture": shop.picture_base64("red"), "query": ""} if part == "picture" else {}
        answer = await service.ask(timeout_ms=100, **body)
        assert (answer.status_code, answer.json()["type"]) == (504, "/problems/deadline")
    finally:
        release.set()
    assert (await service.ask()).status_code == 200
