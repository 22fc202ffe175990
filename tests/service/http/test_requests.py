"""Bodies are read whole, in time and within bounds, or refused."""

from __future__ import annotations

import socket

import httpx
import pytest

from tests.support.answers import check_problem
from tests.support.serving import Server

JSON = {"Content-Type": "application/json"}


def test_other_content_types_are_415(client: httpx.Client) -> None:
    body = b'{"query": "a"}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "nonsense"):
        check_problem(client.post("/recall", content=body, headers={"Content-Type": kind}), 415)
    packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    check_problem(client.post("/recall", content=body, headers=packed), 415)


def test_json_under_its_other_names_is_read(client: httpx.Client) -> None:
    for kind in ("application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.shop+json"):
        response = client.post("/recall", content=b'{"query": "a"}', headers={"Content-Type": kind})
        assert response.status_code == 200


def test_a_body_over_the_limit_is_413(client: httpx.Client) -> None:
    content = b'{"query": "' + b"x" * (5 * 1024 * 1024) + b'"}'
    check_problem(client.post("/recall", content=content, headers=JSON), 413)
    chunks = (content[i : i + 65_536] for i in range(0, len(content), 65_536))
    check_problem(client.post("/recall", content=chunks, headers=JSON), 413)


def test_a_request_without_a_body_or_a_length_is_answered(server: Server) -> None:
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /recall HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"query": "a",}',
        b"{\"query\": 'a'}",
        b'{"query": "\xff"}',
        b'{"query": "\\ud800"}',
        b"\x00",
        b"[" * 8_000,
        b'{"query": "a"} x',
        "{}".encode("utf-16"),
    ],
)
def test_a_body_that_is_not_json_is_400_and_says_where(client: httpx.Client, content: bytes) -> None:
    response = client.post("/recall", content=content, headers=JSON)
    problem = check_problem(response, 400)
    assert "line" in problem["detail"]
    assert "column" in problem["detail"]
