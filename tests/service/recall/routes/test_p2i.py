"""A request with a picture finds the item whose picture it is, where the index holds picture features."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from artifacts.bundle import Bundle, ItemTower, photo_vectors
from index.embedded.build import build_index
from service.deployment import check_arms
from service.errors import StartError
from service.http.answers import RecallAnswer
from service.recall.calibration import Calibration, Curve, beside
from service.settings import Arm
from tests.service.conftest import Demo
from tests.service.http.test_health import value
from tests.support import shop
from tests.support.answers import read
from tests.support.serving import Server, make_settings, serving

#: Of the sixty items every fourth has no picture.
PICTURED = [number for number in range(60) if number % 4]


def colour_of(number: int) -> tuple[int, int, int]:
    """A colour of its own for each item, far from the others by direction."""
    turn = 2 * np.pi * number / 60
    return int(128 + 120 * np.cos(turn)), int(128 + 120 * np.sin(turn)), 40 + 3 * number


def photo(number: int, size: int = 20) -> str:
    """The picture of an item, as a request carries it."""
    stream = io.BytesIO()
    Image.new("RGB", (size, size), colour_of(number)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def pictures(bundle: Bundle) -> np.ndarray[Any, Any]:
    """float32 ``[60, P]``: what `mrse embed` stores of the items' pictures."""
    side = bundle.manifest.picture.side
    pixels = np.stack([np.full((side, side, 3), colour_of(number), np.uint8) for number in range(60)])
    vectors = photo_vectors(ItemTower(bundle).picture_features(pixels))
    vectors[::4] = 0
    return vectors


@dataclass(frozen=True)
class Asked:
    """A service over an index with picture features, and a client."""

    server: Server
    client: httpx.Client

    def __call__(self, **body: object) -> RecallAnswer:
        response = self.client.post("/recall", json=body)
        assert response.status_code == 200, response.text
        return read(RecallAnswer, response.content)


@pytest.fixture(scope="module")
def index(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    shop.write_embeddings(demo.bundle, root / "embeddings", pictures(demo.bundle))
    build_index(root / "embeddings", root / "index")
    return root / "index"


@pytest.fixture(scope="module")
def ask(demo: Demo, index: Path) -> Iterator[Asked]:
    with (
        serving(make_settings(demo.bundle.path, index)) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        yield Asked(server, client)


@pytest.mark.parametrize("size", [16, 20, 33])
def test_the_photo_of_an_item_finds_it_first(ask: Asked, size: int) -> None:
    for number in PICTURED[::5]:
        answer = ask(picture=photo(number, size), k=10)
        assert answer["routes"]["p2i"]["status"] == "ok"
        first = answer["items"][0]
        assert first["item_id"] == f"i{number}"
        (source,) = [source for source in first["sources"] if source["route"] == "p2i"]
        assert source["rank"] == 1
        assert source["score"] == pytest.approx(1.0, abs=2e-3)
        assert answer["degraded"] == []


def test_filters_hold_and_items_without_a_picture_are_none_of_its(ask: Asked) -> None:
    answer = ask(picture=photo(1), k=60, filters={"price": {"gte": 12}})
    by_picture = [
        item["item_id"]
        for item in answer["items"]
        if any(source["route"] == "p2i" for source in item["sources"])
    ]
    assert by_picture
    assert {item for item in by_picture if int(item[1:]) < 2 or int(item[1:]) % 4 == 0} == set()


def test_without_a_picture_it_has_nothing_to_do_and_says_so(ask: Asked) -> None:
    answer = ask(query="running shoes", k=10)
    assert answer["routes"]["p2i"]["status"] == "skipped"
    assert answer["routes"]["p2i"]["reason"] == "no picture"
    assert answer["degraded"] == []


def test_a_fitted_curve_says_what_a_picture_is_worth_and_neither_floor_nor_number_does(
    demo: Demo, index: Path, tmp_path: Path
) -> None:
    own = tmp_path / "index"
    shutil.copytree(index, own)
    recall = {"p2i": {"floor": 0.9, "candidates": 0.05}}

    def found(**words: str) -> list[str]:
        answer = Asked(server, client)(picture=photo(1), k=20, **words)
        return [i["item_id"] for i in answer["items"] if any(s["route"] == "p2i" for s in i["sources"])]

    settings = make_settings(demo.bundle.path, own, recall=recall)
    with serving(settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        assert found() == ["i1"]
    curve = Curve(points=((0.0, 0.0), (1.0, 2.0)))
    Calibration(bundle=demo.bundle.version, curves={"p2i": curve}).write(beside(own))
    with serving(settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        assert len(found()) > 1
        assert found(query="tea cup") == ["i1"], "beside words it has to be fitted there"
    Calibration(bundle=demo.bundle.version, curves={"p2i": curve, "p2i+text": curve}).write(beside(own))
    with serving(settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        assert len(found(query="tea cup")) > 1
    settings = make_settings(demo.bundle.path, own, recall=recall | {"merge": "score"})
    with serving(settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        assert found() == ["i1"], "no other way to merge reads curves"


def test_words_beside_the_picture_keep_their_say(ask: Asked) -> None:
    answer = ask(query="tea cup", picture=photo(1), k=20)
    routes = {source["route"] for item in answer["items"] for source in item["sources"]}
    assert {"q2i", "p2i"} <= routes


def test_a_picture_is_decoded_once_for_all_who_ask_with_it(ask: Asked) -> None:
    def decoded() -> float:
        return value(ask.client, "mrse_pictures_total", outcome="decoded")

    before = decoded()
    for query in ("", "red shoes", "wool hat", ""):
        ask(query=query, picture=photo(2), k=5)
    assert decoded() == before + 1


def test_an_index_without_picture_features_says_why(demo: Demo, client: httpx.Client) -> None:
    answer = read(RecallAnswer, client.post("/recall", json={"picture": photo(1), "k": 5}).content)
    assert answer["routes"]["p2i"] == {
        "status": "skipped",
        "returned": 0,
        "coverage": 0,
        "took_ms": 0,
        "reason": "the index holds no picture features",
    }
    assert answer["degraded"] == []


def test_turned_off_it_looks_at_no_picture(demo: Demo, index: Path) -> None:
    settings = make_settings(demo.bundle.path, index, recall={"p2i": {"enabled": False}})
    with serving(settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        answer = Asked(server, client)(picture=photo(1), k=5)
    assert answer["routes"]["p2i"]["reason"] == "turned off"


def test_a_picture_that_cannot_be_looked_at_now_is_told(demo: Demo, index: Path) -> None:
    with (
        serving(make_settings(demo.bundle.path, index)) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        ask = Asked(server, client)
        ask(query="tea cup", picture=photo(1), k=5)
        deployment = next(iter(server.runtime.deployments.values()))
        deployment.encoder._features.clear()
        deployment.encoder._decoder.close()
        answer = ask(query="tea cup", picture=photo(1), k=5)  # its experts are still known
    assert answer["degraded"] == ["p2i_error"]
    assert answer["items"]


def test_an_index_of_another_width_is_refused_at_start(demo: Demo, tmp_path: Path) -> None:
    narrow = np.eye(60, 4, dtype=np.float32)
    shop.write_embeddings(demo.bundle, tmp_path / "embeddings", narrow)
    build_index(tmp_path / "embeddings", tmp_path / "index")
    settings = make_settings(demo.bundle.path, tmp_path / "index")
    with pytest.raises(StartError, match=r"picture features of 4 values, the bundle .* makes 8"):
        check_arms(settings, [Arm()])
