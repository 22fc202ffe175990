"""A cap with a reserve for probes, and who goes first."""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import pytest

from service.process.connections import RESERVED, Bounds, open_by_descriptors
from tests.support.connections import App, Client, Running, running, until

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
PROBE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"


class Hold(App):
    """Answers nothing but probes, until the client goes."""

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        if scope["path"] == "/livez":
            await super().__call__(scope, receive, send)
        while (await receive())["type"] != "http.disconnect":
            pass


async def _asked(server: Running, request: bytes) -> Client:
    client = await server.connect()
    client.send(request)
    return client


async def test_silent_connections_make_room_for_those_that_ask() -> None:
    async with running(Bounds(open=8)) as server:
        silent = [await server.connect() for _ in range(40)]
        assert len(server.all) <= 8
        client = await _asked(server, GET + b"\r\n")
        assert (await client.answer())[0] == 200
        assert [await one.ended() for one in silent[:30]] == [b""] * 30
        client.send(GET + b"\r\n")  # a newer one of them all
        assert (await client.answer())[0] == 200
        assert set(server.closed) == {"evicted"}


async def test_drips_make_room_before_kept_connections_do() -> None:
    async with running(Bounds(open=4)) as server:
        kept = await _asked(server, GET + b"\r\n")
        await kept.answer()
        for _ in range(3):
            before = len(server.all.partial)
            await _asked(server, GET)
            await until(lambda: len(server.all.partial) == before + 1)  # noqa: B023
        for slow in server.all.partial:
            slow.since = time.monotonic() - 2  # as if they had been at it for two seconds
        new = await _asked(server, GET + b"\r\n")
        assert (await new.answer())[0] == 200
        kept.send(GET + b"\r\n")
        assert (await kept.answer())[0] == 200
        assert server.closed == ["evicted"]


async def test_where_no_place_is_free_probes_are_answered_and_all_else_is_503() -> None:
    async with running(Bounds(open=4), app=Hold()) as server:
        for _ in range(4):
            await _asked(server, GET + b"\r\n")
        await until(lambda: len(server.server.server_state.tasks) == 4)
        probe = await _asked(server, PROBE)
        status, headers, _ = await probe.answer()
        assert (status, headers["connection"]) == (200, "close")
        other = await _asked(server, GET + b"\r\n")
        status, headers, _ = await other.answer()
        assert (status, headers["connection"], headers["retry-after"]) == (503, "close", "1")
        for request in (b"", GET):  # silent ones, and heads that do not end
            for _ in range(RESERVED * 2):
                await _asked(server, request)
            assert len(server.all) <= 4 + RESERVED + 1
        probe = await _asked(server, PROBE)
        assert (await probe.answer())[0] == 200
        server.all.sweep(time.monotonic() + 3)  # places of the reserve are not for waiting
        await until(lambda: len(server.all) == 4)


@pytest.mark.parametrize(
    ("limit", "connections"),
    [(256, 112), (1024, 880), (20_000, 8192), (resource.RLIM_INFINITY, 8192), (10, 1)],
)
def test_the_cap_goes_with_the_limit_of_open_files(limit: int, connections: int) -> None:
    assert open_by_descriptors(limit) == connections


def test_the_limit_of_open_files_is_raised_as_far_as_it_may() -> None:
    script = """
import resource
from service.process.connections import raise_descriptor_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 300))
raise_descriptor_limit()
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(300, 300)"
