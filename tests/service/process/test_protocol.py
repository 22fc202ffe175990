"""What a connection parses, against a real uvicorn: bounds of a head, offers, pipelines, hosts."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from service.process.hosts import AllowedHosts
from service.process.protocol import PIPELINED
from service.process.refusals import HEAD_BYTES, HEADERS
from service.scope import ARRIVED
from tests.support.connections import running, until

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
#: What JDK's HttpClient, and Spring's RestClient over it, send by default.
JDK = (
    b"POST /recall HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: 9\r\n"
    b"Host: localhost\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n"
    b"User-Agent: Java-http-client/17\r\n"
    b"Content-Type: application/json\r\n\r\n123456789"
)


async def test_a_request_arrives_with_the_first_byte_of_its_head() -> None:
    async with running() as server:
        client = await server.connect()
        for _ in range(2):  # the second on a kept connection
            (connection,) = server.server.server_state.connections
            seen, sent = connection.scope, time.monotonic()  # type: ignore[union-attr]
            client.send(b"GET / HT")
            await until(lambda: connection.scope is not seen)  # type: ignore[union-attr]  # noqa: B023
            rest = time.monotonic()
            client.send(b"TP/1.1\r\nHost: x\r\n\r\n")
            await client.answer()
            assert sent <= server.app.scopes[-1][ARRIVED] <= rest


@pytest.mark.parametrize(
    "endless",
    [
        GET + b"X: " + b"y" * 200_000,
        GET + b"x" * 200_000,
        GET + b"X: y\r\n" * 40_000,
        b"GET /" + b"a" * 200_000,
        GET + b"X: y\r\n" * HEADERS + b"\r\n",
    ],
)
@pytest.mark.parametrize("at_once", [1 << 20, 5000])
async def test_a_head_that_is_too_large_is_refused(endless: bytes, at_once: int) -> None:
    async with running() as server:
        client = await server.connect()
        for start in range(0, len(endless), at_once):
            client.send(endless[start : start + at_once])
            await asyncio.sleep(0)
        status, headers, body = await client.answer()
        assert (status, headers["connection"]) == (431, "close")
        assert b"/problems/head-too-large" in body
        client.close()
        await until(lambda: server.closed == ["refused"])
        assert server.refused == ["431"]
        assert server.app.scopes == []


async def test_a_head_within_the_bounds_is_answered() -> None:
    async with running() as server:
        client = await server.connect()
        client.send(GET + b"X: " + b"y" * (HEAD_BYTES - 100) + b"\r\n\r\n")
        assert (await client.answer())[0] == 200
        client.send(GET + b"X: y\r\n" * (HEADERS - 1) + b"\r\n")
        assert (await client.answer())[0] == 200


@pytest.mark.parametrize(
    "frames", [b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 10_000, b"5\r\nhello\r\n0\r\nX: " + b"y" * 300_000]
)
async def test_trailers_are_bounded_and_dropped(frames: bytes) -> None:
    async with running() as server:
        client = await server.connect()
        client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + frames)
        status, headers, _ = await client.answer()
        assert status in (400, 431)
        assert headers["connection"] == "close"
        client.close()
        client = await server.connect()
        client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nSecret: y\r\n\r\n")
        assert (await client.answer())[2] == b"5"
        assert b"secret" not in dict(server.app.scopes[-1]["headers"])


@pytest.mark.parametrize("cut", [None, 30, len(JDK) - 9, len(JDK) - 5])
async def test_an_offer_of_http2_is_ignored_and_the_request_answered(cut: int | None) -> None:
    async with running() as server:
        client = await server.connect()
        for _ in range(2):
            client.send(JDK[:cut])
            if cut is not None:
                await until(lambda: server.all.partial)
                client.send(JDK[cut:])
            assert (await client.answer())[2] == b"9"
        client.send(GET + b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n")
        assert (await client.answer())[0] == 200
        client.send(JDK + JDK)
        assert [(await client.answer())[2] for _ in range(2)] == [b"9", b"9"]
        names = [name for name, _ in server.app.scopes[0]["headers"]]
        assert b"upgrade" not in names
        assert b"http2-settings" not in names
        assert server.app.scopes[0]["path"] == "/recall"


_JAVA = """
import java.net.URI;
import java.net.http.*;
public class Ask {
    public static void main(String[] given) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int i = 0; i < 3; i++) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(given[0]))
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString("x".repeat(100_000 * i + 7))).build();
            HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.statusCode() + " " + answer.body());
        }
    }
}
"""


@pytest.mark.skipif(shutil.which("javac") is None, reason="there is no JDK")
async def test_the_client_of_the_jdk_is_answered(tmp_path: Path) -> None:
    source = tmp_path / "Ask.java"
    source.write_text(_JAVA)
    async with running() as server:
        command = ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", str(source)]
        url = f"http://127.0.0.1:{server.port}/recall"
        done = await asyncio.to_thread(
            subprocess.run, [*command, url], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == ["200", "7", "200", "100007", "200", "200007"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
async def test_curl_with_an_offer_of_http2_is_answered() -> None:
    async with running() as server:
        url = f"http://127.0.0.1:{server.port}/recall"
        command = [
            "curl",
            "-sS",
            "--noproxy",
            "*",
            "--http2",
            "-d",
            "hello",
            url,
            "--next",
            "--http2",
            "-sS",
            url,
        ]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
        assert done.stdout == "50"


async def test_what_follows_garbage_is_not_read_and_what_came_before_is_answered() -> None:
    async with running() as server:
        client = await server.connect()
        client.send(GET + b"\r\n" + POST + b"Content-Length: 3\r\n\r\nabc" + b"\x00\x01garbage\r\n\r\n" + GET)
        assert [(await client.answer())[2] for _ in range(2)] == [b"0", b"3"]
        assert await client.ended() == b""
        assert len(server.app.scopes) == 2
        client = await server.connect()
        client.send(b"\x16\x03\x01\x02\x00garbage")
        assert (await client.answer())[0] == 400
        client.send(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
        await client.ended()
        client = await server.connect()
        client.send(POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        assert (await client.answer())[0] == 400


async def test_a_pipeline_is_bounded() -> None:
    async with running() as server:
        client = await server.connect()
        client.send((GET + b"\r\n") * 2000)
        answers = (await client.ended()).count(b"HTTP/1.1 200")
        assert PIPELINED <= answers <= PIPELINED + 1


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io:80", ""])
async def test_a_service_of_one_machine_is_not_asked_by_other_names(host: str) -> None:
    async with running(hosts=AllowedHosts((), "127.0.0.1")) as server:
        client = await server.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: " + host.encode() + b"\r\n\r\n")
        assert (await client.answer())[0] == 421
        for good in (b"Host: localhost:8080\r\n", b"Host: 127.0.0.1\r\n", b"Host: [::1]:9\r\n"):
            client = await server.connect()
            client.send(b"GET / HTTP/1.1\r\n" + good + b"\r\n")
            assert (await client.answer())[0] == 200


async def test_two_hosts_are_refused() -> None:
    async with running() as server:
        client = await server.connect()
        client.send(GET + b"Host: y\r\n\r\n")
        assert (await client.answer())[0] == 400


@pytest.mark.parametrize("part", [b"1\r\nx\r\n", b"2;ext=1\r\nxy\r\n"])
async def test_a_body_in_too_many_small_parts_is_refused(part: bytes) -> None:
    async with running() as server:
        client = await server.connect()
        client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + part * 1000 + b"0\r\n\r\n")
        assert (await client.answer())[0] == 200
        client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + part * 3000 + b"0\r\n\r\n")
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (400, "close")


_FRAGMENTS = (
    GET,
    POST,
    JDK,
    JDK[:100],
    b"\r\n",
    b"\n",
    b"Content-Length: 5\r\n\r\nhello",
    b"Content-Length: 70000\r\n\r\n" + b"x" * 30_000,
    b"Transfer-Encoding: chunked\r\n\r\n",
    b"3\r\nabc\r\n",
    b"0\r\n",
    b"0\r\n\r\n",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"X: y\r\n" * 60,
    b"POST /early HTTP/1.0\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\n\r\n",
    b"\x00\xff\x16\x03",
    b"x" * 70_000,
)


async def test_whatever_is_sent_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    draw = random.Random(7)
    async with running() as server:
        for _ in range(150):
            client = await server.connect()
            for _ in range(draw.randint(1, 6)):
                client.send(draw.choice(_FRAGMENTS))
                if draw.random() < 0.5:
                    await asyncio.sleep(0.001)
            if draw.random() < 0.5:
                client.writer.transport.abort()
        for client in server.clients:
            client.writer.transport.abort()
        await until(lambda: not len(server.all) and not server.server.server_state.tasks)
        everything = server.all
        queues = (
            everything.ending,
            everything.fresh,
            everything.partial,
            everything.kept,
            everything.stalled,
        )
        assert not any((*queues, everything.bodies, everything.reserved))
        assert everything.held == 0
        assert len(server.closed) == 150
    assert not [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
