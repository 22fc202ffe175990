"""Readiness follows the model and the index, whatever way they fail, and does not flap under load."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest

from index.port import IndexUnavailable, Neighbours
from service.app import create_app
from service.canary import Watch
from service.deployment import Deployment, open_deployment
from service.errors import Overloaded
from service.runtime import Runtime
from tests.service.conftest import Demo
from tests.service.test_faults import ENCODER_FAULTS, FUSION_FAULTS, raises
from tests.support.index import MemoryIndex
from tests.support.serving import in_process, make_settings, memory_index, opener_in_memory

SELDOM = 3600.0


class Service:
    def __init__(self, client: httpx.AsyncClient, index: MemoryIndex, runtime: Runtime) -> None:
        self.client = client
        self.index = index
        self.runtime = runtime
        self.watch: Watch = runtime._watch
        self.watch._patience_s = 60.0  # a busy machine is not to be taken for a graph that hangs
        self.tower = runtime.deployments["control"].encoder.tower

    async def readyz(self) -> tuple[int, str]:
        answer = await self.client.get("/readyz")
        return answer.status_code, answer.json().get("detail", "")


@asynccontextmanager
async def started(demo: Demo, every_s: float = SELDOM) -> AsyncIterator[Service]:
    index = memory_index(demo.bundle)
    settings = make_settings(None, None, server={"canary_every_s": every_s})
    app = create_app(settings, opener=opener_in_memory(demo.bundle, index))
    async with in_process(app) as client:
        yield Service(client, index, app.state.runtime)


async def no_answer(*args: Any) -> list[Neighbours]:
    raise IndexUnavailable("connection")


def index_giving(ids: list[str], scores: list[float]) -> Callable[..., Any]:
    async def search(*args: Any) -> list[Neighbours]:
        return [Neighbours(ids, np.array(scores, np.float32))]

    return search


def other_experts(text: Any, pictures: Any = ()) -> Any:
    return np.random.default_rng(9).normal(size=(len(pictures), 3, 16)).astype(np.float16)


FAULTS: list[tuple[str, str, str, Any]] = [
    *(("encoder", name, "rounded_experts", broken) for name, (broken, _) in ENCODER_FAULTS.items()),
    ("encoder", "other numbers", "rounded_experts", other_experts),
    *(("fusion", name, "fuse", broken) for name, broken in FUSION_FAULTS.items()),
    ("index", "raises", "search", raises(RuntimeError("bug"))),
    ("index", "out of memory", "search", raises(MemoryError())),
    ("index", "away", "search", no_answer),
    ("index", "NaN", "search", index_giving(["i1"], [np.nan])),
    ("index", "no cosines", "search", index_giving(["i1"], [1.5])),
    ("index", "out of order", "search", index_giving(["i1", "i2"], [0.1, 0.9])),
    ("index", "other scores", "search", index_giving(["i1"], [-0.9])),
    ("index", "nothing", "search", index_giving([], [])),
]


async def test_a_part_that_fails_turns_readiness_false_and_back_when_it_is_whole(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(demo) as service:
        service.index.revision = "same"  # type: ignore[assignment]
        await service.watch.look()
        assert await service.readyz() == (200, "")
        for failed, (part, fault, name, broken) in enumerate(FAULTS, start=1):
            with monkeypatch.context() as patch:
                patch.setattr(service.index if name == "search" else service.tower, name, broken)
                await service.watch.look()
                status, why = await service.readyz()
                assert (status, part in why) == (503, True), (part, fault, why)
                assert why.count(";") == 0, "the other parts are not blamed"
                metrics = (await service.client.get("/metrics")).text
                assert f'mrse_not_ready{{part="{part}"}} 1.0' in metrics
                assert f'mrse_canaries_total{{result="failed"}} {failed}.0' in metrics
                assert "mrse_ready 0.0" in metrics
            await service.watch.look()
            assert await service.readyz() == (200, ""), (part, fault)


async def test_parts_that_hang_are_told_when_nothing_else_gets_on(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(demo) as service:
        release = threading.Event()
        real = service.tower.rounded_experts

        def hangs(*args: Any) -> Any:
            release.wait(60)
            return real(*args)

        monkeypatch.setattr(service.tower, "rounded_experts", hangs)
        monkeypatch.setattr("service.canary._LATE_S", 60)  # a busy machine is no excuse here
        service.index.delay_s = 60
        await service.watch.look(patience_s=0.05)
        assert service.runtime.health.reasons == [
            "the query encoder hangs",
            "the index gives no answer: timeout",
        ]
        release.set()
        service.index.delay_s = 0
        await service.watch.look(patience_s=60)
        assert service.runtime.health.ready


async def test_load_says_nothing_of_a_part_as_long_as_others_get_on(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(demo) as service:
        encoder = service.runtime.deployments["control"].encoder

        async def behind_others(*args: Any) -> Any:
            encoder.texts.succeeded += 1
            service.runtime.recaller.answered += 1
            await asyncio.sleep(60)

        async def full(*args: Any) -> Any:
            encoder.texts.succeeded += 1
            raise Overloaded("full")

        async def queue_full(*args: Any) -> Any:
            raise IndexUnavailable("overloaded")

        for submit, search in ((behind_others, behind_others), (full, queue_full)):
            monkeypatch.setattr(encoder.texts, "submit", submit)
            monkeypatch.setattr(service.index, "search", search)
            await service.watch.look(patience_s=0.02)
            assert service.runtime.health.ready
        metrics = (await service.client.get("/metrics")).text
        assert 'mrse_canaries_total{result="inconclusive"} 2.0' in metrics


async def test_what_says_nothing_mends_nothing(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    async with started(demo) as service:
        with monkeypatch.context() as patch:
            patch.setattr(service.index, "search", no_answer)
            await service.watch.look()
        service.index.fail = {"search"}

        async def queue_full(*args: Any) -> Any:
            raise IndexUnavailable("overloaded")

        monkeypatch.setattr(service.index, "search", queue_full)
        await service.watch.look()
        assert not service.runtime.health.ready


async def test_an_event_loop_that_was_late_blames_nobody(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    async with started(demo) as service:

        async def late(*args: Any) -> Any:
            time.sleep(0.4)  # noqa: ASYNC251 -- it holds the loop, as a request of too much work would
            await asyncio.sleep(60)

        monkeypatch.setattr(service.index, "search", late)
        await service.watch.look(patience_s=0.02)
        assert service.runtime.health.ready


async def test_an_index_that_changed_may_give_other_scores(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(demo) as service:
        for revision, score in ((1, 0.9), (2, -0.5), (3, 0.2)):
            service.index.revision = revision  # type: ignore[assignment]
            monkeypatch.setattr(service.index, "search", index_giving(["i1"], [score]))
            await service.watch.look()
            assert service.runtime.health.ready
        monkeypatch.setattr(service.index, "search", index_giving(["i1"], [0.4]))
        await service.watch.look()
        assert not service.runtime.health.ready


async def test_a_query_that_fails_makes_the_next_canary_come_soon(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started(demo, every_s=SELDOM) as service:
        with monkeypatch.context() as patch:
            patch.setattr(service.tower, "rounded_experts", raises(ValueError("bug")))
            assert (await service.client.post("/recall", json={"query": "new"})).status_code == 503
            async with asyncio.timeout(60):
                while service.runtime.health.ready:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)


async def test_canaries_come_by_themselves_and_mend_what_healed(
    demo: Demo, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mrse.service")
    async with started(demo, every_s=0.1) as service:

        async def until(ready: bool) -> None:
            async with asyncio.timeout(60):
                while service.runtime.health.ready != ready:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

        with monkeypatch.context() as patch:
            patch.setattr(service.index, "search", no_answer)
            await until(False)
            await asyncio.sleep(0.3)
        await until(True)
    changes = [r.getMessage() for r in caplog.records if "ready" in r.getMessage()]
    assert changes == ["ready", "not ready any more", "ready"], "one line a change, however long it lasts"


@pytest.mark.parametrize(("weight", "ready"), [(0, True), (1, False)])
async def test_an_arm_without_traffic_keeps_nobody_from_being_ready(
    demo: Demo, weight: float, ready: bool, caplog: pytest.LogCaptureFixture
) -> None:
    experiments = {
        "towers": {
            "control": {"weight": 1},
            "treatment": {"weight": weight, "bundle": demo.other_bundle.path, "index": demo.other_index},
        }
    }

    def opener(**given: Any) -> Deployment:
        return open_deployment(**given)

    settings = make_settings(
        demo.bundle.path, demo.index, experiments=experiments, server={"canary_every_s": SELDOM}
    )
    app = create_app(settings, opener=opener)
    async with in_process(app):
        runtime: Runtime = app.state.runtime
        assert runtime.health.ready
        runtime.deployments["treatment"].encoder.tower.fuse = raises(ValueError("bug"))  # type: ignore[method-assign]
        await runtime._watch.look(patience_s=60)
        assert runtime.health.ready is ready
    told = [r.getMessage() for r in caplog.records]
    assert ("an arm without traffic fails" in told) is ready
