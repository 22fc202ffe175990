"""Turns, circuits, and the one retry that is safe."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import numpy as np
import pytest

from common.calling import REQUEST, SPAN
from common.deadline import Deadline
from devtools.vespa_fakes.fault_server import (
    Act,
    FaultServer,
    answer,
    hang,
    reset,
)
from index.vespa import errors
from index.vespa.client import VespaIndex
from index.vespa.connections import Addresses
from index.vespa.transport import Transport
from tests.index.vespa.answers import GOOD, NOTHING, error, root, settings
from tests.index.vespa.test_shadow import Watch
from tests.support.spans import Seen

QUERY = np.eye(1, 8, dtype=np.float32)


def refused(status: int, *codes: int, coverage: Any = NOTHING, hits: Any = ()) -> Act:
    return answer(status, root(hits, coverage=coverage, errors=[error(code) for code in codes]))


async def test_nothing_listens() -> None:
    with socket.socket() as bound:  # taken, and nobody accepts
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        async with VespaIndex(settings(url)) as index:
            with pytest.raises(errors.Unreachable) as raised:
                await index.search(QUERY, 10, None, Deadline.after(5))
    assert raised.value.reason == "connect"


class _Resolver:
    """Knows ``good.test``; counts what it is asked."""

    def __init__(self, hangs_for: str = "") -> None:
        self.asked: list[str] = []
        self._hangs_for = hangs_for

    async def __call__(self, host: str, port: int) -> Addresses:
        self.asked.append(host)
        if host == self._hangs_for:
            await asyncio.Event().wait()
        if host != "good.test":
            raise socket.gaierror("name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


async def test_a_name_without_an_address_is_not_asked_for_again() -> None:
    resolver, where = _Resolver(), settings("http://bad.test:8080")
    async with VespaIndex(where, transport=Transport(where.endpoints, resolve=resolver)) as index:
        with pytest.raises(errors.Unreachable) as raised:
            await index.search(QUERY, 10, None, Deadline.after(5))
    assert raised.value.reason == "dns"
    assert resolver.asked == ["bad.test"]


async def test_a_name_server_that_does_not_answer() -> None:
    where = settings("http://good.test:8080", connect_share=0.02)
    async with VespaIndex(
        where, transport=Transport(where.endpoints, resolve=_Resolver(hangs_for="good.test"))
    ) as index:
        with pytest.raises(errors.Unreachable) as raised:
            await index.search(QUERY, 10, None, Deadline.after(5))
    assert raised.value.reason == "connect"


async def test_a_host_that_cannot_be_reached_leaves_time_for_another() -> None:
    resolver = _Resolver(hangs_for="bad.test")
    async with FaultServer([answer(200, GOOD)]) as good:
        port = good.url.rpartition(":")[2]
        where = settings(f"http://bad.test:{port}", f"http://good.test:{port}", connect_share=0.05)
        async with VespaIndex(where, transport=Transport(where.endpoints, resolve=resolver)) as index:
            (found,) = await index.search(QUERY, 10, None, Deadline.after(10))
    assert found.ids == ["a", "b", "c"]
    assert resolver.asked == ["bad.test", "good.test"]


async def test_waiting_for_our_own_connections_is_no_failure_of_the_endpoint() -> None:
    async with FaultServer([hang, answer(200, GOOD)]) as server:
        where = settings(server.url, connections=1, breaker_failures=1)
        async with VespaIndex(where) as index:
            first = asyncio.ensure_future(index.search(QUERY, 10, None, Deadline.after(60)))
            await server.arrived.wait()
            waiting = [index.search(QUERY, 10, None, Deadline.after(0.05)) for _ in range(5)]
            ended = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(each) for each in ended] == [errors.NoConnection] * 5
            assert len(server.requests) == 1
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            (found,) = await index.search(QUERY, 10, None, Deadline.after(5))
    assert found.ids == ["a", "b", "c"]


async def test_a_busy_endpoint_is_passed_over_for_a_free_one() -> None:
    async with FaultServer([hang]) as busy, FaultServer([answer(200, GOOD)]) as free:
        where = settings(busy.url, free.url, connections=1)
        async with VespaIndex(where) as index:
            first = asyncio.ensure_future(index.search(QUERY, 10, None, Deadline.after(60)))
            await busy.arrived.wait()
            for _ in range(4):
                await index.search(QUERY, 10, None, Deadline.after(5))
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        assert (len(busy.requests), len(free.requests)) == (1, 4)


async def test_what_waits_is_not_sent_where_the_circuit_opened_meanwhile() -> None:
    async with FaultServer([answer(503, root(), after=0.05)]) as server:
        where = settings(server.url, connections=1, breaker_failures=1, breaker_pause=60)
        async with VespaIndex(where) as index:
            calls = [index.search(QUERY, 10, None, Deadline.after(5)) for _ in range(5)]
            ended = await asyncio.gather(*calls, return_exceptions=True)
        assert len(server.requests) == 1
    assert [type(each) for each in ended[1:]] == [errors.CircuitOpen] * 4


async def test_who_gives_up_at_the_deadline_has_waited_long_enough() -> None:
    now = [0.0]
    for later, opens in ((2.0, False), (5.0, True)):
        async with FaultServer([hang]) as server:
            where = settings(server.url, breaker_failures=1)
            async with VespaIndex(where, clock=lambda: now[0]) as index:
                now[0] = 0.0
                deadline = Deadline(5.0, clock=lambda: now[0])
                call = asyncio.ensure_future(index.search(QUERY, 10, None, deadline))
                await server.arrived.wait()
                now[0] = later
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
                with pytest.raises(errors.CircuitOpen if opens else errors.TimedOut):
                    await index.search(QUERY, 10, None, Deadline.after(0.3))


async def test_another_endpoint_stands_in_for_one_without_an_address() -> None:
    async with FaultServer([answer(200, GOOD)]) as server:
        port = server.url.rpartition(":")[2]
        where = settings("http://bad.test:1", f"http://good.test:{port}")
        async with VespaIndex(where, transport=Transport(where.endpoints, resolve=_Resolver())) as index:
            for _ in range(4):
                await index.search(QUERY, 10, None, Deadline.after(5))
        assert len(server.requests) == 4


async def test_a_retry_goes_to_another_endpoint() -> None:
    async with FaultServer([reset]) as bad, FaultServer([answer(200, GOOD)]) as good:
        async with VespaIndex(settings(bad.url, good.url)) as index:
            for _ in range(4):
                await index.search(QUERY, 10, None, Deadline.after(5))
        assert (len(bad.requests), len(good.requests)) == (2, 4)


async def test_no_retry_without_budget() -> None:
    class Slow(Transport):
        async def send(self, *arguments: Any, **named: Any) -> Any:
            now[0] += 4.999
            return await super().send(*arguments, **named)

    now = [0.0]
    async with FaultServer([reset]) as server:
        where = settings(server.url)
        async with VespaIndex(where, transport=Slow(where.endpoints), clock=lambda: now[0]) as index:
            with pytest.raises(errors.Unreachable, match="connection"):
                await index.search(QUERY, 10, None, Deadline(5.0, clock=lambda: now[0]))
        assert len(server.requests) == 1


async def test_the_circuit_opens_and_closes_again() -> None:
    now = [0.0]
    script = [refused(503, 10)] * 3 + [refused(503, 10), answer(200, GOOD)]
    async with FaultServer(script) as server:
        where = settings(server.url, breaker_failures=3, breaker_pause=10)
        async with VespaIndex(where, clock=lambda: now[0]) as index:

            async def search() -> None:
                await index.search(QUERY, 10, None, Deadline.after(5))

            for _ in range(3):
                with pytest.raises(errors.VespaError, match="backend"):
                    await search()
            with pytest.raises(errors.CircuitOpen):
                await search()
            assert len(server.requests) == 3
            now[0] = 10.0  # half open: one request tries, and fails
            with pytest.raises(errors.VespaError, match="backend"):
                await search()
            with pytest.raises(errors.CircuitOpen):
                await search()
            now[0] = 20.0  # and another, and does not
            await search()
            await search()
        assert len(server.requests) == 6


async def test_our_own_mistakes_do_not_open_the_circuit() -> None:
    async with FaultServer([refused(400, 4, coverage=None)]) as server:
        where = settings(server.url, breaker_failures=2)
        async with VespaIndex(where) as index:
            for _ in range(5):
                with pytest.raises(errors.RequestRefused):
                    await index.search(QUERY, 10, None, Deadline.after(5))


async def test_each_call_is_told_with_its_outcome() -> None:
    watch, closed = Watch(), answer(200, GOOD)
    script = [reset, closed, closed, refused(400, 4), refused(503, 10), answer(200, b"no JSON"), hang]
    async with FaultServer(script) as server, VespaIndex(settings(server.url)) as index:
        index.calls.listen(watch)
        for budget in (5.0, 5.0, 5.0, 5.0, 5.0, 0.1):
            with contextlib.suppress(errors.VespaError):
                await index.search(QUERY, 10, None, Deadline.after(budget))
        where = server.url.removeprefix("http://")
    assert [outcome for _, outcome in watch.calls] == [
        "connection",
        "ok",
        "ok",
        "refused",
        "backend",
        "bad_answer",
        "timeout",
    ]
    assert {name for name, _ in watch.calls} == {where} == set(watch.retries) == set(index.calls.servers)


async def test_waits_and_circuits_are_told() -> None:
    watch, clock = Watch(), [0.0]
    async with FaultServer(
        [answer(200, GOOD, after=0.05), answer(200, GOOD), reset, reset, answer(200, GOOD)]
    ) as server:
        where = settings(server.url, connections=1, breaker_failures=2, breaker_pause=1.0)
        async with VespaIndex(where, clock=lambda: clock[0]) as index:
            index.calls.listen(watch)
            deadline = Deadline(5.0, clock=lambda: clock[0])
            await asyncio.gather(*(index.search(QUERY, 10, None, deadline) for _ in range(2)))
            assert len(watch.waits) == 1
            with pytest.raises(errors.Unreachable):
                await index.search(QUERY, 10, None, deadline)
            clock[0] = 2.0
            await index.search(QUERY, 10, None, deadline)
    assert [is_open for _, is_open in watch.circuits] == [True, False]


async def test_calls_for_a_request_carry_its_id_and_trace() -> None:
    async with FaultServer([answer(200, GOOD)]) as server, VespaIndex(settings(server.url)) as index:
        await index.search(QUERY, 10, None, Deadline.after(5))

        async def served(came: list[tuple[bytes, bytes]], ours: str | None) -> None:
            REQUEST.set(("id-1", came))
            SPAN.set(None if ours is None else Seen(ours))
            await index.search(QUERY, 10, None, Deadline.after(5))

        theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        await asyncio.create_task(served([(b"traceparent", theirs.encode())], None))
        await asyncio.create_task(served([(b"traceparent", theirs.encode())], "00-ours"))
        await asyncio.create_task(served([(b"traceparent", b"x" * 100)], None))
        seen = [
            (each.headers.get("x-request-id"), each.headers.get("traceparent")) for each in server.requests
        ]
    # Within a span of ours the call is one of its parts, by whose name it goes on.
    assert seen == [(None, None), ("id-1", theirs), ("id-1", "POST /search/"), ("id-1", None)]


async def test_a_call_is_a_span_that_ends_however_it_ends() -> None:
    acts = [answer(200, GOOD), answer(503, b"", after=0.0), reset, reset, hang]
    async with FaultServer(acts) as server:
        where = settings(server.url, breaker_failures=100)
        async with VespaIndex(where) as index:
            whole = Seen("request")

            async def served(seconds: float) -> None:
                SPAN.set(whole)
                with contextlib.suppress(errors.VespaError, TimeoutError):
                    await index.search(QUERY, 10, None, Deadline.after(seconds))

            for seconds in (5, 5, 5, 0.3):
                await asyncio.create_task(served(seconds))
    assert all(part.ended and part.kind == "call" for part in whole.parts)
    assert {part.name for part in whole.parts} == {"POST /search/"}
    assert [part.said.get("error.type") for part in whole.parts] == [
        None,
        "503",
        "connection",  # and once more
        "connection",
        "timeout",
    ]
    assert [part.said.get("http.response.status_code") for part in whole.parts[:3]] == [200, 503, None]
    assert whole.parts[0].said["server.address"] == "127.0.0.1"
    assert whole.parts[0].said["server.port"] == int(server.url.rsplit(":", 1)[1])
