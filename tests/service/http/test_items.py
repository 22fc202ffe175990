"""Items by content: in the next answer of every arm, told one by one, and never lost once acknowledged."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import copytree
from typing import Any

import httpx
import numpy as np
import pytest
from redis import Redis

from artifacts.bundle import Bundle, ItemText, ItemTower
from artifacts.cache.codec import FeatureCodec
from artifacts.cache.keys import item_key
from common.deadline import Deadline
from devtools import embeddings
from devtools.redis import RedisServer
from devtools.waiting import wait_for
from index.embedded.build import build_index
from index.embedded.changes import Lookup
from index.embedded.index import EmbeddedIndex
from index.embedded.store import write_lock
from tests.service.conftest import Demo
from tests.support import shop
from tests.support.serving import Server, make_settings, serving

ROOT = Path(__file__).parents[3]
TOKEN = {"authorization": "Bearer hush"}
BOOTS = {
    "title": "zenith blue hiking boots",
    "category": "Shoes > Hiking",
    "picture": shop.picture_base64("blue"),
    "attributes": {"colour": "blue", "brand": "zenith", "price": 81.5, "in_stock": True, "tags": ["new"]},
}


class Writable:
    """A service whose index takes items, and a client with the token."""

    def __init__(self, server: Server, index: Path) -> None:
        self.server = server
        self.index = index
        self.client = httpx.Client(base_url=server.url, headers=TOKEN, timeout=60)

    def __enter__(self) -> Writable:
        return self

    def __exit__(self, *error: object) -> None:
        self.client.close()

    def put(self, *items: dict[str, Any], **parameters: str) -> httpx.Response:
        return self.client.put("/items", json={"items": items}, params=parameters)

    def found(self, query: str, arm: str | None = None, **body: Any) -> list[str]:
        headers = {} if arm is None else {"x-experiment": f"towers={arm}"}
        answer = self.client.post("/recall", json={"query": query, "k": 100, **body}, headers=headers)
        return [item["item_id"] for item in answer.json()["items"]]

    def metric(self, line: str) -> bool:
        return line in self.client.get("/metrics").text


@pytest.fixture
def service(demo: Demo, tmp_path: Path) -> Iterator[Writable]:
    index = copytree(demo.index, tmp_path / "index")
    settings = make_settings(demo.bundle.path, index, server={"admin_token": "hush"})
    with serving(settings) as server, Writable(server, index) as service:
        yield service


def embedded(bundle: Bundle, item: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Vector and features as `mrse embed` makes them."""
    tower = ItemTower(bundle)
    side = bundle.manifest.picture.side
    pixels = np.full((1, side, side, 3), shop.COLOURS["blue"], np.uint8)
    text = ItemText(item["title"], item["category"])
    features = tower.features([text], list(tower.picture_features(pixels))).astype(np.float16)
    return tower.embeddings(features)[0], features[0]


async def stored(folder: Path, ids: list[str]) -> tuple[list[str], np.ndarray, np.ndarray]:
    index = EmbeddedIndex.open(folder, verify=False)
    try:
        vectors = await index.vectors(ids, Deadline.after(30))
        _, features = await index.features(ids, Deadline.after(30))
    finally:
        await index.close()
    return vectors.ids, vectors.vectors, features


async def test_an_item_is_in_the_next_answer_with_the_vector_that_mrse_embed_makes(
    service: Writable, demo: Demo
) -> None:
    for _ in range(2):  # and once more, as it was
        answer = service.put({"id": "new/1", **BOOTS})
        assert answer.status_code == 200, answer.text
        done = answer.json()
        assert (done["written"], done["refused"]) == (1, [])
        assert done["towers"] == {"control": {"written": 1, "unknown": []}}
        assert "new/1" in service.found("zenith blue hiking boots", filters={"tags": ["new"]})
    assert service.found("boots", filters={"tags": ["new"], "price": {"gt": 82}}) == []
    ids, vectors, features = await stored(service.index, ["new/1"])
    assert ids == ["new/1"]
    vector, feature = embedded(demo.bundle, BOOTS)
    assert float(vectors[0] @ vector) > 0.999
    np.testing.assert_allclose(features[0].astype(float), feature.astype(float), atol=5e-3)
    # Put again, it is replaced whole: what is left out is missing.
    other = service.client.put("/items/new%2F1", json={"title": "orbit tea cup", "category": "Kitchen>Cups"})
    assert (other.status_code, other.json()["written"]) == (200, 1)
    assert "new/1" in service.found("cup", filters={"category": "kitchen > cups"})
    assert service.found("cup", filters={"tags": ["new"]}) == []
    gone = service.client.delete("/items/new%2F1")
    assert (gone.status_code, gone.json()["written"], gone.json()["unknown"]) == (200, 1, [])
    again = service.client.delete("/items/new%2F1").json()
    assert (again["written"], again["unknown"]) == (0, ["new/1"])
    several = service.client.post("/items/delete", json={"ids": ["i1", "i2", "nobody"]}).json()
    assert (several["written"], several["unknown"]) == (2, ["nobody"])
    assert not {"new/1", "i1", "i2"} & set(service.found("cup shoes"))
    assert service.metric('mrse_items_total{result="put"} 3.0')
    assert service.metric('mrse_items_total{result="removed"} 3.0')


def test_every_arm_gets_the_vectors_of_its_own_tower(demo: Demo, tmp_path: Path) -> None:
    folders = {
        arm: copytree(index, tmp_path / arm)
        for arm, index in (("control", demo.index), ("treatment", demo.other_index))
    }
    bundles = {"control": demo.bundle, "treatment": demo.other_bundle}
    other = {"weight": 1, "forced": True, "bundle": demo.other_bundle.path, "index": folders["treatment"]}
    settings = make_settings(
        demo.bundle.path,
        folders["control"],
        server={"admin_token": "hush"},
        experiments={"towers": {"control": {"weight": 1, "forced": True}, "treatment": other}},
    )
    with serving(settings) as server, Writable(server, folders["control"]) as service:
        done = service.put({"id": "new", **BOOTS}, {"id": "odd", **BOOTS, "attributes": {"margin": 1}})
        assert done.status_code == 207
        each = {"written": 1, "unknown": []}
        assert done.json()["towers"] == {"control": each, "treatment": each}
        for arm, folder in folders.items():
            assert "new" in service.found("zenith blue hiking boots", arm)
            ids, vectors, _ = asyncio.run(stored(folder, ["new", "odd"]))
            assert ids == ["new"]
            assert float(vectors[0] @ embedded(bundles[arm], BOOTS)[0]) > 0.999
        alone = service.put({"id": "one", **BOOTS}, towers="treatment").json()
        assert list(alone["towers"]) == ["treatment"]
        assert "one" not in service.found("zenith blue hiking boots", "control")
        assert service.put({"id": "one", **BOOTS}, towers="none").status_code == 404
        assert list(service.client.delete("/items/one").json()["towers"]) == ["control", "treatment"]


def build_told(demo: Demo, tmp_path: Path) -> None:
    """An index of the shop's items with words, pictures and how popular each is."""
    _, vectors, features = shop.embed(demo.bundle)
    rows = [item | {"popularity": float(number)} for number, item in enumerate(shop.items())]
    pictures = np.zeros((len(rows), demo.bundle.manifest.picture.feature_dim), np.float16)
    pictures[:, 0] = 1.0
    embeddings.write_embeddings(
        tmp_path / "embeddings",
        rows,
        vectors,
        features,
        bundle_version=demo.bundle.version,
        attributes={**shop.ATTRIBUTES, "popularity": "number"},
        texts=[{"title": item["title"]} for item in rows],
        text_fields=("title", "category", "description"),
        pictures=pictures,
    )
    build_index(tmp_path / "embeddings", tmp_path / "index")


def test_an_item_is_found_by_its_words_and_by_its_picture_and_stays_as_popular(
    demo: Demo, tmp_path: Path
) -> None:
    build_told(demo, tmp_path)
    groups = {"server": {"admin_token": "hush"}, "recall": {"lexical": {"enabled": True}}}
    settings = make_settings(demo.bundle.path, tmp_path / "index", **groups)
    with serving(settings) as server, Writable(server, tmp_path / "index") as service:
        new = {"id": "new", **BOOTS, "description": "with zibeline lining"}
        assert service.put(new, {**new, "id": "i7", "title": "orbit cap"}).status_code == 200
        by_words = service.client.post("/recall", json={"query": "zibeline", "k": 100}).json()["items"]
        by_picture = service.client.post("/recall", json={"picture": BOOTS["picture"], "k": 5}).json()[
            "items"
        ]
        for items, route in ((by_words, "lexical"), (by_picture, "p2i")):
            found = {
                item["item_id"]: source["rank"]
                for item in items
                for source in item["sources"]
                if source["route"] == route
            }
            assert {"new", "i7"} <= {item for item, rank in found.items() if rank <= 2}, route

        asked = {"query": "zibeline", "k": 100, "fields": ["title", "price"]}
        told = {
            item["item_id"]: item["fields"]
            for item in service.client.post("/recall", json=asked).json()["items"]
        }
        written = {item["id"]: item["title"] for item in shop.items()}
        titles = written | {"new": BOOTS["title"], "i7": "orbit cap"}
        assert {item_id: held["title"] for item_id, held in told.items()} == {
            item_id: titles[item_id] for item_id in told
        }, "of the base and of what was put since, as they were written"
        assert told["i3"]["price"] == shop.items()[3]["price"]
        wrong = service.client.post("/recall", json={"query": "a", "fields": ["titel"]}).json()
        assert "tags, title; did you mean title?" in wrong["detail"]

        def popular(**filters: Any) -> list[str]:
            asked = {"k": 100, "filters": filters}
            return [item["item_id"] for item in service.client.post("/recall", json=asked).json()["items"]]

        assert popular(tags=["new"]) == ["i7"], "put again it is as popular, and the new one is not yet"
        assert service.put({**new, "attributes": {"popularity": 99.0, "tags": ["new"]}}).status_code == 200
        assert popular(tags=["new"]) == ["new", "i7"]
        assert service.put({**new, "attributes": {"popularity": None, "tags": ["new"]}}).status_code == 200
        assert popular(tags=["new"]) == ["i7"]


def popularity_of(service: Writable, item: str) -> Any:
    asked = {"k": 100, "fields": ["popularity"], "query": "cup"}
    items = service.client.post("/recall", json=asked).json()["items"]
    return next(each["fields"].get("popularity") for each in items if each["item_id"] == item)


def test_a_popularity_that_is_told_while_an_item_is_put_is_not_undone(demo: Demo, tmp_path: Path) -> None:
    build_told(demo, tmp_path)
    settings = make_settings(demo.bundle.path, tmp_path / "index", server={"admin_token": "hush"})
    with serving(settings) as server, Writable(server, tmp_path / "index") as service:
        writer = server.runtime.deployments["control"].index._writer  # type: ignore[attr-defined]
        update = {"items": [{"id": "i7", "attributes": {"popularity": 77.0}}]}
        with ThreadPoolExecutor(2) as threads:
            with write_lock(tmp_path / "index"):
                told = threads.submit(service.client.post, "/admin/index/update", json=update)
                wait_for(lambda: writer._writing is not None and not writer._writing.done())
                put = threads.submit(service.put, {"id": "i7", "title": "orbit cup"})
                wait_for(lambda: len(writer._waiting) == 1)
            assert (told.result().status_code, put.result().status_code) == (200, 200)
        assert popularity_of(service, "i7") == 77.0


def test_an_item_put_with_its_vector_keeps_the_words_and_the_picture_that_are_not_told(
    demo: Demo, tmp_path: Path
) -> None:
    build_told(demo, tmp_path)
    groups = {"server": {"admin_token": "hush"}, "recall": {"lexical": {"enabled": True}}}
    settings = make_settings(demo.bundle.path, tmp_path / "index", **groups)
    sizes = demo.bundle.manifest
    vector = [1.0] + [0.0] * (sizes.dimensions.embedding_dim - 1)
    feature = [0.0, 1.0] + [0.0] * (sizes.picture.feature_dim - 2)
    with serving(settings) as server, Writable(server, tmp_path / "index") as service:

        def put(**item: Any) -> None:
            body = {"items": [{"id": "i7", "vector": vector, **item}]}
            answer = service.client.post("/admin/index/upsert", json=body)
            assert answer.status_code == 200, answer.text

        def by_words() -> bool:
            asked = {"query": "zibeline", "k": 100}
            items = service.client.post("/recall", json=asked).json()["items"]
            return any(
                item["item_id"] == "i7" and source["route"] == "lexical"
                for item in items
                for source in item["sources"]
            )

        def picture() -> Any:
            async def read() -> Any:
                index = EmbeddedIndex.open(tmp_path / "index", verify=False)
                found = Lookup(index._live.current())._known(["i7"])["i7"].picture
                await index.close()
                return found

            return asyncio.run(read())

        assert service.put({"id": "i7", **BOOTS, "description": "zibeline"}).status_code == 200
        before = picture()
        assert before is not None
        put(attributes={"price": 1.0})
        assert by_words()
        np.testing.assert_array_equal(picture(), before)
        put(texts={"title": "hat"}, picture=feature)
        assert not by_words()
        assert picture().tolist() == feature
        put(texts={"title": "zibeline"}, picture=None)
        assert by_words()
        assert picture() is None
        put(picture=base64.b64encode(np.array(feature, "<f2").tobytes()).decode())
        assert by_words()
        assert picture().tolist() == feature
        wrong = {"items": [{"id": "i7", "vector": vector, "picture": [1.0]}]}
        refused = service.client.post("/admin/index/upsert", json=wrong)
        assert refused.status_code == 422
        assert "picture feature has shape" in refused.json()["detail"]


#: An item, the field that is to blame, and words of the reason.
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no base64": ({"picture": "§"}, "picture", "not base64"),
    "no picture": ({"picture": base64.b64encode(b"GIF89a" * 9).decode()}, "picture", "JPEG or PNG"),
    "half a picture": (
        {"picture": base64.b64encode(shop.picture("red")[:60]).decode()},
        "picture",
        "damaged",
    ),
    "unknown attribute": ({"attributes": {"margin": 1}}, "attributes.margin", "'margin' is no attribute"),
    "another type": ({"attributes": {"price": "12.5"}}, "attributes.price", "price is a number"),
    "a list in place of a string": (
        {"attributes": {"brand": ["acme"]}},
        "attributes.brand",
        "brand is a string",
    ),
    "an empty level": ({"category": "Shoes > > Running"}, "category", "an empty level"),
    "a category as a list": ({"category": ["Shoes"]}, "category", "valid string"),
    "no content": ({"title": " ", "picture": None}, "", "a title or a picture"),
    "another field": ({"colour": "red"}, "colour", "no such field"),
    "space around the id": ({"id": " x"}, "id", "no space at either end"),
    "a long id": ({"id": "x" * 129}, "id", "at most 128"),
    "no id": ({"id": None}, "id", "valid string"),
    "a long title": ({"title": "x" * 2049}, "title", "at most 2048"),
}


def test_each_item_that_cannot_be_taken_is_told_and_the_others_are_taken(service: Writable) -> None:
    items = [{"id": f"bad{n}", **BOOTS, **change} for n, (change, _, _) in enumerate(REFUSED.values())]
    twice = [{"id": "twice", "title": "one"}, {"id": "twice", "title": "other"}]
    answer = service.put({"id": "good", **BOOTS}, *items, *twice, {"id": "bare", "title": "tea cup"})
    assert answer.status_code == 207
    done = answer.json()
    assert done["written"] == 2
    assert len(done["refused"]) == len(REFUSED) + 2
    for place, ((name, (_, field, words)), refused) in enumerate(
        zip(REFUSED.items(), done["refused"], strict=False), start=1
    ):
        (error,) = refused["errors"]
        assert error["field"] == f"items.{place}" + (f".{field}" if field else ""), name
        assert words in error["reason"], (name, error)
    assert [each["id"] for each in done["refused"][-2:]] == ["twice", "twice"]
    assert {"good", "bare"} <= set(service.found("tea cup boots"))
    assert not any(item.startswith(("bad", "twice")) for item in service.found("tea cup boots"))
    assert service.metric(f'mrse_items_total{{result="refused"}} {len(REFUSED) + 2}.0')
    several = {"price": "12.5", "colour": "red", "margin": 1} | {f"odd{n}": n for n in range(30)}
    (told,) = service.put({"id": "good", **BOOTS}, {"id": "odd", "title": "x", "attributes": several}).json()[
        "refused"
    ]
    assert [each["field"] for each in told["errors"][:2]] == [
        "items.1.attributes.price",
        "items.1.attributes.margin",
    ]
    assert len(told["errors"]) == 16, "all that do not fit are named, within bounds"
    # None of them can be taken: that is no success.
    for change, field, words in REFUSED.values():
        answer = service.put({"id": "bad", **BOOTS, **change})
        assert answer.status_code == 422, answer.text
        (error,) = answer.json()["errors"]
        assert error["field"].removeprefix("items.0").removeprefix(".") == field
        assert words in error["reason"]
        assert answer.headers["content-type"] == "application/problem+json"
    alone = service.client.put("/items/bad", json={**BOOTS, "attributes": {"margin": 1}})
    assert alone.status_code == 422
    assert alone.json()["errors"][0]["field"] == "attributes.margin"
    assert service.client.put("/items/%20x", json=BOOTS).json()["errors"][0]["field"] == "item_id"
    for body in ({"items": []}, {"items": [BOOTS] * 257}, {}, {"ids": ["x"]}):
        assert service.client.put("/items", json=body).status_code == 422, body.keys()


def test_more_items_than_a_worker_has_places_for_are_refused_at_once(demo: Demo, tmp_path: Path) -> None:
    index = copytree(demo.index, tmp_path / "index")
    knobs = {"server": {"admin_token": "hush"}, "items": {"queue": 3, "max_batch": 1}}
    with (
        serving(make_settings(demo.bundle.path, index, **knobs)) as server,
        Writable(server, index) as service,
    ):
        intake = server.runtime.intake
        with intake.room(2):
            full = service.put({"id": "a", **BOOTS}, {"id": "b", **BOOTS})
            assert (full.status_code, full.json()["type"]) == (503, "/problems/overloaded")
            assert full.headers["retry-after"]
            assert service.put({"id": "a", **BOOTS}).status_code == 200
        assert intake.under_way == 0


def test_features_are_where_histories_and_followers_look_for_them(
    demo: Demo, tmp_path: Path, redis: RedisServer
) -> None:
    index = copytree(demo.index, tmp_path / "index")
    groups = {"server": {"admin_token": "hush"}, "redis": {"url": redis.url, "timeout_ms": 2000}}
    with (
        serving(make_settings(demo.bundle.path, index, **groups)) as server,
        Redis.from_url(redis.url) as store,
        Writable(server, index) as service,
    ):
        key = item_key(demo.bundle.version, "new")
        assert service.put({"id": "new", **BOOTS}).status_code == 200
        features = FeatureCodec(*embedded(demo.bundle, BOOTS)[1].shape).decode(store.get(key))  # type: ignore[arg-type]
        assert features is not None
        np.testing.assert_allclose(
            features.astype(float), embedded(demo.bundle, BOOTS)[1].astype(float), atol=5e-3
        )
        assert store.ttl(key) > 20 * 86_400
        asked = {"history": [{"item_id": "new", "action": "order"}], "query": ""}
        assert service.client.post("/recall", json=asked).json()["degraded"] == []
        assert service.client.delete("/items/new").status_code == 200
        assert not store.exists(key)
        redis.kill()  # the index has the features itself
        assert service.put({"id": "new", **BOOTS}).status_code == 200
        assert service.client.delete("/items/new").status_code == 200


def test_who_may_put_items_is_asked_and_written_down(demo: Demo, tmp_path: Path) -> None:
    index, audit = copytree(demo.index, tmp_path / "index"), tmp_path / "audit.jsonl"
    groups = {"server": {"admin_token": "hush"}, "access": {"audit": audit}}
    with (
        serving(make_settings(demo.bundle.path, index, **groups)) as server,
        Writable(server, index) as service,
    ):
        for method, path in (("PUT", "/items"), ("PUT", "/items/x"), ("DELETE", "/items/x")):
            assert httpx.request(method, f"{server.url}{path}", json={}).status_code == 401
        assert httpx.post(f"{server.url}/items/delete", json={"ids": ["x"]}).status_code == 401
        put = service.put({"id": "new", **BOOTS}, {"id": "bad", **BOOTS, "category": "> "})
        service.client.delete("/items/new")
        lines = [json.loads(line) for line in audit.read_text().splitlines()]
        assert [(line["what"], line["outcome"], line["first"]) for line in lines] == [
            ("put items", "begun", ["new"]),
            ("put items", "done", ["new"]),
            ("delete items", "begun", ["new"]),
            ("delete items", "done", ["new"]),
        ]
        assert lines[0]["request_id"] == put.headers["x-request-id"]
        document = service.client.get("/openapi.json").json()
    calls = [document["paths"]["/items"]["put"], *document["paths"]["/items/{item_id}"].values()]
    assert len(calls) == 3
    assert {"NewItems", "ItemRow", "PutItems"} <= document["components"]["schemas"].keys()
    with serving(make_settings(demo.bundle.path, demo.index)) as open_to_all:
        refused = httpx.put(f"{open_to_all.url}/items", json={})
        assert refused.status_code == 404
        assert "server.admin_token or access.keys" in refused.json()["detail"]


def test_nothing_that_was_acknowledged_is_lost_by_kill_9(demo: Demo, tmp_path: Path) -> None:
    from devtools.waiting import free_port

    index, port = copytree(demo.index, tmp_path / "index"), free_port()
    command = [sys.executable, "-c", "from cli.main import main; main()", "serve", "--port", str(port)]
    variables = {
        "MRSE_BUNDLE_PATH": str(demo.bundle.path),
        "MRSE_INDEX_PATH": str(index),
        "MRSE_SERVER_ADMIN_TOKEN": "hush",
        "PYTHONPATH": str(ROOT),
    }
    acknowledged: list[str] = []
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | variables, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        try:
            return httpx.get(f"{url}/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def put() -> None:
        with httpx.Client(base_url=url, headers=TOKEN, timeout=30) as client:
            for number in range(10_000):
                items = [
                    {"id": f"{threading.get_ident()}-{number}-{n}", "title": f"cup {n}"} for n in range(3)
                ]
                try:
                    answer = client.put("/items", json={"items": items})
                except httpx.HTTPError:
                    return
                assert answer.json()["written"] == 3
                acknowledged.extend(item["id"] for item in items)

    try:
        wait_for(ready)
        threads = [threading.Thread(target=put) for _ in range(2)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(acknowledged) > 30)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    for thread in threads:
        thread.join()
    ids, _, _ = asyncio.run(stored(index, acknowledged))
    assert ids == acknowledged
