"""Pictures that stopped the service, against a running one: refused, and nobody else waits for them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest

from devtools.pictures import blank_png, many_scans
from tests.service.conftest import Demo
from tests.support import shop
from tests.support.answers import check_problem
from tests.support.serving import make_settings, serving


@pytest.fixture(scope="module")
def client(demo: Demo) -> Iterator[httpx.Client]:
    settings = make_settings(demo.bundle.path, demo.index, encoder={"picture_ms": 300})
    with serving(settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def ask(client: httpx.Client, picture: bytes) -> httpx.Response:
    return client.post("/recall", json={"picture": base64.b64encode(picture).decode(), "k": 3})


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (partial(many_scans, 64, 19_000), "scans are over 100"),
        (partial(blank_png, 20_000_000, 1), "a side is over 8192"),
        (partial(blank_png, 1, 9000), "a side is over 8192"),
        (partial(blank_png, 5000, 5000, 0, 1), "5000 x 5000 pixels is over 20000000"),
    ],
)
def test_what_the_head_tells_is_refused_before_any_decoding(
    client: httpx.Client, picture: Callable[[], bytes], reason: str
) -> None:
    problem = check_problem(ask(client, picture()), 422)
    assert problem["errors"][0]["field"] == "picture"
    assert reason in problem["detail"]


def answered(client: httpx.Client, colour: str) -> bool:
    """Whether a small picture is; asked again where the machine was too busy for it, as a client would."""
    for number in range(50):
        answer = ask(client, shop.picture(colour) + bytes([number]))
        if answer.status_code != 503:
            return answer.status_code == 200
    return False


def test_a_picture_that_takes_too_long_is_refused_and_others_are_answered(client: httpx.Client) -> None:
    slow = blank_png(4472, 4472, 6, 16)
    with ThreadPoolExecutor(2) as pool:
        refused = [pool.submit(ask, client, slow + bytes([number])) for number in range(4)]
        assert all(answered(client, colour) for colour in ("red", "blue", "green", "black"))
        # 503 where the machine was too busy for the picture to be blamed
        assert {each.result().status_code for each in refused} <= {422, 503}
    statuses = [ask(client, slow).status_code for _ in range(3)]
    assert statuses[-1] == 422
    counted = client.get("/metrics").text
    assert 'mrse_pictures_total{outcome="known"} 0.0' not in counted
    assert 'mrse_pictures_total{outcome="costly"} 0.0' not in counted
