"""Large answers are compressed for who reads that, and mean the same."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import httpx
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from service.http.compression import _LARGE, OFFERED, chosen
from tests.service.conftest import Demo
from tests.support.serving import make_settings, serving

BODY = {"query": "red running shoes", "k": 50, "history": [{"item_id": "i12", "action": "cart"}]}


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("", None),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("GZIP;q=1.0, zstd;q=0.5", "gzip"),
        ("zstd;q=0, gzip;q=0", None),
        ("zstd;q=0, *", "gzip"),
        ("*", "zstd"),
        ("*;q=0", None),
        ("identity, gzip;q=0.5", None),
        ("br, deflate", None),
        ("gzip;level=3", None),
        ("zstd;q=many, gzip", "gzip"),
        ("gzip," * 400, None),
    ],
)
def test_the_encoding_is_the_best_that_the_client_reads(accept: str, encoding: str | None) -> None:
    assert chosen(accept) == encoding


@given(st.text("abgzipstd ;,=*.01qé", max_size=60))
def test_any_header_is_read(accept: str) -> None:
    assert chosen(accept) in (None, *OFFERED)


@pytest.fixture(scope="module")
def eager(demo: Demo) -> Iterator[httpx.Client]:
    settings = make_settings(demo.bundle.path, demo.index, server={"compress_from": 1024})
    with serving(settings) as server, httpx.Client(base_url=server.url) as client:
        yield client


def raw(client: httpx.Client, accept: str, **body: object) -> tuple[httpx.Headers, bytes]:
    """Headers and body as they came."""
    with client.stream("POST", "/recall", json=BODY | body, headers={"Accept-Encoding": accept}) as answer:
        assert answer.status_code == 200
        return answer.headers, b"".join(answer.iter_raw())


def test_what_is_compressed_is_the_answer(eager: httpx.Client) -> None:
    opened = {"zstd": lambda body: zstandard.ZstdDecompressor().decompress(body), "gzip": _gunzip}
    _, plain = raw(eager, "identity")
    for name, read in opened.items():
        headers, body = raw(eager, name)
        assert headers["content-encoding"] == name
        assert headers["content-length"] == str(len(body))
        assert headers["vary"] == "Accept, Accept-Encoding"
        assert len(body) < len(plain) / 2
        assert _items(read(body)) == _items(plain)


def test_a_very_large_answer_is_compressed_off_the_loop(eager: httpx.Client) -> None:
    requests = [{"query": f"shoes {n}", "k": 60, "timeout_ms": 10_000} for n in range(40)]
    body, headers = {"requests": requests}, {"Accept-Encoding": "gzip"}
    with eager.stream("POST", "/recall/batch", json=body, headers=headers) as answer:
        content = _gunzip(b"".join(answer.iter_raw()))
    assert len(content) > _LARGE
    assert len(httpx.Response(200, content=content).json()["results"]) == 40


def test_small_answers_stay_as_they_are(eager: httpx.Client, client: httpx.Client) -> None:
    headers, _ = raw(eager, "zstd, gzip", k=1)
    assert "content-encoding" not in headers
    headers, body = raw(client, "zstd, gzip")  # below the default of 64 kB
    assert len(body) > 1024
    assert "content-encoding" not in headers


def test_metrics_are_compressed_for_a_scraper(eager: httpx.Client) -> None:
    answer = eager.get("/metrics", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert "mrse_requests_total" in answer.text


def test_head_tells_the_length_of_what_get_sends(eager: httpx.Client) -> None:
    head = eager.head("/metrics", headers={"Accept-Encoding": "gzip"})
    assert head.headers["content-encoding"] == "gzip"
    assert head.content == b""
    assert int(head.headers["content-length"]) > 0


def _gunzip(body: bytes) -> bytes:
    return zlib.decompress(body, 16 + zlib.MAX_WBITS)


def _items(body: bytes) -> object:
    return httpx.Response(200, content=body).json()["items"]
