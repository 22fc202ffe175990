"""Deadlines, slow and failing routes, clients that leave, load: on an index with delays to order."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest

from devtools.waiting import wait_for
from service.app import create_app
from service.runtime import Runtime
from tests.service.conftest import Demo
from tests.support.index import MemoryIndex
from tests.support.serving import in_process, make_settings, memory_index, opener_in_memory, serving


class Harness:
    """A service over an index in memory."""

    def __init__(self, client: httpx.AsyncClient, index: MemoryIndex, runtime: Runtime) -> None:
        self.client = client
        self.index = index
        self.runtime = runtime

    async def ask(self, status: int = 200, **body: object) -> dict:  # type: ignore[type-arg]
        response = await self.client.post("/recall", json={"query": "red shoes", "k": 5, **body})
        assert response.status_code == status, response.text
        answer: dict = response.json()  # type: ignore[type-arg]
        return answer


class Start:
    """Starts services that end with the test."""

    def __init__(self, demo: Demo, stack: AsyncExitStack) -> None:
        self._demo = demo
        self._stack = stack

    async def __call__(self, **groups: dict) -> Harness:  # type: ignore[type-arg]
        index = memory_index(self._demo.bundle)
        app = create_app(
            make_settings(None, None, **groups), opener=opener_in_memory(self._demo.bundle, index)
        )
        client = await self._stack.enter_async_context(in_process(app))
        return Harness(client, index, app.state.runtime)


@pytest.fixture
async def start(demo: Demo) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:
        yield Start(demo, stack)


HISTORY = [{"item_id": "i12", "action": "click"}]


async def test_a_slow_i2i_leaves_a_partial_answer(start: Start) -> None:
    service = await start()
    service.index.batch_delay_s = 30.0
    # Two items of history make I2I search for two vectors at once, which is the slow search.
    history = [*HISTORY, {"item_id": "i13", "action": "click"}]
    answer = await service.ask(query="hiking boots", history=history, timeout_ms=1000)
    assert answer["partial"] is True
    assert answer["degraded"] == ["i2i_timeout"]
    assert answer["routes"]["i2i"]["status"] == "timeout"
    assert answer["routes"]["i2i"]["reason"]
    assert answer["routes"]["q2i"]["status"] == "ok"
    assert len(answer["items"]) == 5
    await asyncio.sleep(0.01)  # the cancelled search has its turn
    assert service.index.cancelled == 1


async def test_a_slow_q2i_leaves_what_i2i_found(start: Start) -> None:
    service = await start()
    service.index.delay_s = 30.0
    history = [*HISTORY, {"item_id": "i13", "action": "click"}]
    answer = await service.ask(query="hiking boots", history=history, timeout_ms=1000)
    assert answer["degraded"] == ["q2i_timeout"]
    assert {s["route"] for item in answer["items"] for s in item["sources"]} == {"i2i"}


async def test_no_route_in_time_is_504(start: Start) -> None:
    service = await start()
    service.index.delay_s = service.index.batch_delay_s = 30.0
    problem = await service.ask(504, timeout_ms=60)
    assert problem["type"] == "/problems/deadline"


async def test_the_default_deadline_is_the_settings(start: Start) -> None:
    service = await start(deadline={"default_ms": 60})
    service.index.delay_s = service.index.batch_delay_s = 30.0
    await service.ask(504)


async def test_an_encoder_that_is_too_slow_is_504_and_its_work_is_dropped(start: Start) -> None:
    service = await start()
    encoder = service.runtime.deployments["control"].encoder
    batches: list[int] = []
    real = encoder.texts._work

    def slow(jobs):  # type: ignore[no-untyped-def]
        batches.append(len(jobs))
        hold.wait(30)
        return real(jobs)

    hold = threading.Event()
    encoder.texts._work = slow
    first = asyncio.create_task(service.ask(504, query="first", timeout_ms=300))
    while not batches:  # noqa: ASYNC110 -- the worker thread is what is waited for
        await asyncio.sleep(0.005)
    second = asyncio.create_task(service.ask(504, query="second", timeout_ms=300))
    assert (await first)["detail"] == "the time ran out during encoding"
    await second
    hold.set()
    assert (await service.ask(query="third"))["items"]
    assert batches == [1, 1], "the second query was dropped before its turn"


async def test_a_failing_route_fails_alone(start: Start) -> None:
    service = await start()
    service.index.fail = {"vectors"}
    answer = await service.ask(history=HISTORY)
    assert answer["routes"]["i2i"] == {
        "status": "error",
        "returned": 0,
        "coverage": 0.0,
        "took_ms": answer["routes"]["i2i"]["took_ms"],
        "reason": "unavailable",
    }
    assert answer["degraded"] == ["i2i_error"]
    assert answer["items"]


async def test_an_index_that_is_away_is_503_with_retry_after(start: Start) -> None:
    service = await start()
    service.index.fail = {"search", "vectors"}
    response = await service.client.post("/recall", json={"query": "shoes"})
    assert response.status_code == 503
    assert response.headers["retry-after"] in ("1", "2", "3")
    assert response.json()["type"] == "/problems/unavailable"
    similar = await service.client.get("/items/i3/similar")
    assert similar.status_code == 503


async def test_features_that_are_away_cost_the_portrait_alone(start: Start) -> None:
    service = await start()
    service.index.fail = {"features"}
    answer = await service.ask(history=HISTORY)
    assert answer["degraded"] == ["history_unavailable"]
    assert answer["items"]


async def test_an_item_that_was_not_reached_is_not_said_to_be_none(start: Start) -> None:
    service = await start()
    service.index.unreached = {"i12"}
    response = await service.client.get("/items/i12/similar")
    assert response.status_code == 503
    assert "i12" in response.json()["detail"]
    assert "unknown yet: the index reached 50% of its items" in response.json()["detail"]
    assert response.headers["Retry-After"]
    assert (await service.client.get("/items/i13/similar")).status_code == 200
    service.index.unreached = set()
    assert (await service.client.get("/items/nobody/similar")).status_code == 404


async def test_history_that_was_not_reached_is_told(start: Start) -> None:
    service = await start()
    service.index.unreached = {"i12"}
    answer = await service.ask(query="red shoes", history=HISTORY, explain=True)
    i2i = answer["routes"]["i2i"]
    assert (i2i["status"], i2i["coverage"], i2i["reason"]) == ("ok", 0.5, "non-ideal-state")
    assert answer["partial"] is True
    assert "i2i_coverage" in answer["degraded"]
    assert [item["reason"] for item in answer["explain"]["considered"]] == ["not reached"]


async def test_neighbours_whose_vectors_were_not_reached_are_told(start: Start) -> None:
    service = await start()
    whole = await service.ask(query="hiking boots", history=[*HISTORY, {"item_id": "i13", "action": "cart"}])
    assert whole["routes"]["i2i"]["coverage"] == 1.0
    service.index.unreached = {item["item_id"] for item in whole["items"]} - {"i12", "i13"}
    answer = await service.ask(query="hiking boots", history=[*HISTORY, {"item_id": "i13", "action": "cart"}])
    assert answer["routes"]["i2i"]["coverage"] == 0.5
    assert answer["degraded"] == ["i2i_coverage"]


async def test_low_coverage_is_told(start: Start) -> None:
    service = await start()
    service.index.coverage = 0.75
    answer = await service.ask()
    assert answer["partial"] is True
    assert answer["routes"]["q2i"]["coverage"] == 0.75
    assert answer["routes"]["q2i"]["reason"] == "timeout"
    assert "q2i_coverage" in answer["degraded"]


async def test_a_bug_is_a_500_that_tells_nothing_but_the_id(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    service = await start()

    def broken(*args: object) -> None:
        raise RuntimeError("secret detail")

    service.runtime.experiments.assign = broken  # type: ignore[method-assign,assignment]
    response = await service.client.post("/recall", json={"query": "a"}, headers={"X-Request-Id": "r1"})
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"] == "r1"
    assert "secret" not in response.text
    record = next(r for r in caplog.records if r.getMessage() == "unhandled error")
    assert vars(record)["request_id"] == "r1"
    assert record.exc_info is not None


# -- load -------------------------------------------------------------------------------------------------


async def hold(service: Harness, requests: int) -> list[asyncio.Task[dict]]:  # type: ignore[type-arg]
    """Requests that are being worked on until the index answers."""
    tasks = [asyncio.create_task(service.ask(query=f"shoes {n}")) for n in range(requests)]
    while service.runtime.admission.in_flight < requests:  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    return tasks


async def test_work_shrinks_before_requests_are_refused(start: Start) -> None:
    service = await start(limits={"in_flight": 10})
    service.index.delay_s = 1.0
    tasks = await hold(service, 10)
    refused = await service.client.post("/recall", json={"query": "one more", "timeout_ms": 200})
    assert refused.status_code == 503, "it waited for a place for longer than it had"
    assert refused.headers["retry-after"] in ("1", "2", "3")
    assert refused.json()["type"] == "/problems/overloaded"
    answers = await asyncio.gather(*tasks)
    degraded = [answer["degraded"] for answer in answers]
    assert degraded == [[]] * 5 + [["no_i2i"]] * 2 + [["no_i2i", "fewer_candidates"]] * 3
    assert answers[5]["routes"]["i2i"]["status"] == "shed"
    assert answers[5]["partial"] is False
    assert (len(answers[0]["items"]), len(answers[9]["items"])) == (5, 2)
    assert service.runtime.admission.in_flight == 0


async def test_the_portrait_goes_last_and_never_from_a_browse(start: Start) -> None:
    service = await start(
        recall={"i2i": {"shed_at": 0}},
        limits={"in_flight": 10, "shed_candidates_at": 0, "shed_portrait_at": 0},
    )
    answer = await service.ask(history=HISTORY)
    assert answer["degraded"] == ["no_i2i", "fewer_candidates", "no_portrait"]
    browse = await service.ask(query="", history=HISTORY)
    assert browse["degraded"] == ["no_i2i", "fewer_candidates"]
    assert browse["items"]


async def test_a_batch_takes_a_place_for_each_entry(start: Start) -> None:
    service = await start(limits={"in_flight": 10})
    body = {"requests": [{"query": f"q{n}"} for n in range(11)]}
    assert (await service.client.post("/recall/batch", json=body)).status_code == 503
    assert service.runtime.admission.in_flight == 0
    body["requests"].pop()
    assert (await service.client.post("/recall/batch", json=body)).status_code == 200


async def test_a_full_encoder_queue_is_503(start: Start) -> None:
    service = await start()
    encoder = service.runtime.deployments["control"].encoder
    encoder.texts._limit = 0
    problem = await service.ask(503, query="never seen")
    assert problem["type"] == "/problems/overloaded"


# -- clients that leave -----------------------------------------------------------------------------------


def test_a_client_that_leaves_cancels_its_work(demo: Demo) -> None:
    index = memory_index(demo.bundle)
    index.delay_s = 30.0
    with serving(make_settings(None, None), opener_in_memory(demo.bundle, index)) as server:
        with httpx.Client(base_url=server.url) as client, pytest.raises(httpx.ReadTimeout):
            client.post("/recall", json={"query": "shoes"}, timeout=httpx.Timeout(30, read=0.3))
        wait_for(lambda: index.cancelled >= 1)
        wait_for(lambda: server.runtime.admission.in_flight == 0)
        with httpx.Client(base_url=server.url) as client:
            index.delay_s = 0.0
            assert client.post("/recall", json={"query": "shoes"}).status_code == 200
            assert "mrse_cancelled_total 1.0" in client.get("/metrics").text


def test_a_body_that_dribbles_in_is_408_and_one_that_breaks_off_harms_nobody(demo: Demo) -> None:
    index = memory_index(demo.bundle)
    settings = make_settings(None, None, limits={"body_timeout_s": 0.1})
    head = b"POST /recall HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += b"Content-Length: 99\r\n\r\n"
    with serving(settings, opener_in_memory(demo.bundle, index)) as server:
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        with socket.create_connection(address) as slow:
            slow.sendall(head + b'{"query": ')
            assert slow.recv(65_536).startswith(b"HTTP/1.1 408")
        with socket.create_connection(address) as broken:
            broken.sendall(head + b'{"query": ')
        with httpx.Client(base_url=server.url) as client:
            assert client.post("/recall", json={"query": "shoes"}).status_code == 200
        assert server.runtime.admission.in_flight == 0


def test_a_server_that_stops_lets_running_requests_finish(demo: Demo) -> None:
    index = memory_index(demo.bundle)
    index.delay_s = 0.5
    answers: list[int] = []
    with serving(make_settings(None, None), opener_in_memory(demo.bundle, index)) as server:

        def ask() -> None:
            with httpx.Client(base_url=server.url) as client:
                answers.append(client.post("/recall", json={"query": "shoes"}, timeout=60).status_code)

        thread = threading.Thread(target=ask)
        thread.start()
        wait_for(lambda: index.searches >= 1)
    thread.join()
    assert answers == [200]
    assert index.closed
