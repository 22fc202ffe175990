"""The playground needs nothing from elsewhere; what it shows of items is there where a shop was given."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artifacts.shop.previews import write_previews
from artifacts.shop.schema import Item
from artifacts.shop.shop import Shop
from index.embedded.build import build_index
from models.synthetic import make_shop
from tests.service.conftest import Demo
from tests.support.serving import make_settings, serving
from tests.support.shop import write_embeddings

_PARTS = sorted(entry.name for entry in files("service").joinpath("playground").iterdir())


@pytest.fixture(scope="module")
def previews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("previews")
    make_shop(folder / "shop", items=120, users=10, events=0, seed=3)
    write_previews(folder / "shop", folder / "previews.arrow", personas=[{"name": "Ada", "history": []}])
    return folder / "previews.arrow"


@pytest.fixture(scope="module")
def shown(demo: Demo, previews: Path) -> Iterator[httpx.Client]:
    """A service over the tiny shop that shows the previews of another."""
    settings = make_settings(demo.bundle.path, demo.index, playground={"previews": previews})
    with serving(settings) as server, httpx.Client(base_url=server.url) as client:
        yield client


def test_the_page_loads_only_what_the_service_has_and_runs_nothing_else(client: httpx.Client) -> None:
    response = client.get("/")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page, policy = response.text, response.headers["content-security-policy"]
    loaded = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>]+)""", page)
    assert {name.partition("/")[2] for name in loaded if name.startswith("playground/")} <= set(_PARTS)
    assert all(name.startswith(("playground/", "data:", "#")) or name == "docs" for name in loaded)
    assert "default-src 'none'" in policy
    assert "script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script>|<style>|\son\w+=|\sstyle=", page), "the policy would stop it"
    assert re.search(r"<noscript>.*needs JavaScript", page, re.DOTALL), "what it says without"


def test_its_parts_load_only_each_other_and_set_text_as_text(client: httpx.Client) -> None:
    for name in _PARTS:
        if name == "index.html":
            continue
        response = client.get(f"/playground/{name}")
        assert response.status_code == 200, name
        assert response.headers["x-content-type-options"] == "nosniff"
        text = response.text
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|https?://", text
        )
        imported = re.findall(r"""^(?:import|\}? *from) [^;]*?["']([^"']+)["'];$""", text, re.MULTILINE)
        assert {part.removeprefix("./") for part in imported} <= set(_PARTS)
        assert len(text.splitlines()) <= 300


def test_its_parts_are_sent_again_only_when_they_changed(client: httpx.Client) -> None:
    for path in ("/", "/playground/app.js", "/playground/shop.css", "/docs"):
        first = client.get(path)
        etag = first.headers["etag"]
        assert first.headers["cache-control"] == "no-cache", "a new version is met at once"
        again = client.get(path, headers={"If-None-Match": f'W/"other", {etag}'})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
        assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_its_scripts_are_good_javascript(tmp_path: Path) -> None:
    # One process for all of them: it parses each, and runs none.
    for name in _PARTS:
        if name.endswith(".js"):
            (tmp_path / name.replace(".js", ".mjs")).write_bytes(
                files("service").joinpath("playground", name).read_bytes()
            )
    check = "for (const f of process.argv.slice(1)) new vm.SourceTextModule(fs.readFileSync(f, 'utf8'))"
    scripts = sorted(map(str, tmp_path.glob("*.mjs")))
    command = ["node", "--experimental-vm-modules", "--no-warnings", "-e", check, *scripts]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_what_it_asks_and_says_without_a_browser(tmp_path: Path) -> None:
    for name in _PARTS:  # in a folder where node takes them for modules
        (tmp_path / name).write_bytes(files("service").joinpath("playground", name).read_bytes())
    (tmp_path / "package.json").write_text('{"type": "module"}')
    script = Path(__file__).with_name("playground.mjs")
    command = ["node", str(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_it_can_be_turned_off(demo: Demo, previews: Path) -> None:
    settings = make_settings(
        demo.bundle.path, demo.index, playground={"enabled": False, "previews": previews}
    )
    with serving(settings) as server, httpx.Client(base_url=server.url) as client:
        for path in ("/", "/playground/app.js", "/playground/shop", "/playground/previews?item_id=i1"):
            assert client.get(path).status_code == 404, path
        assert client.post("/recall", json={"query": "shoes", "k": 1}).status_code == 200


def test_previews_are_what_the_shop_says(shown: httpx.Client, previews: Path) -> None:
    items = list(_items(previews))
    pictured = next(item for item in items if item.picture)
    bare = next(item for item in items if not item.picture)
    asked = [("item_id", pictured.id), ("item_id", bare.id), ("item_id", "nobody"), ("item_id", "")]
    found = shown.get("/playground/previews", params=asked).json()
    assert found.keys() == {pictured.id, bare.id}
    for item in (pictured, bare):
        told = found[item.id]
        assert (told["title"], told["category"]) == (item.title, item.category)
        assert told["attributes"] == {name: v for name, v in item.attributes.items() if v is not None}
    assert found[bare.id]["picture"] is None

    content = (previews.parent / "shop" / "pictures" / (pictured.picture or "")).read_bytes()
    alike: list[Any] = [*asked, ("pictures", "true")]
    along = shown.get("/playground/previews", params=alike).json()
    kind, _, held = along[pictured.id].pop("data").partition(",")
    assert (kind, base64.b64decode(held)) == ("data:image/jpeg;base64", content)
    assert along == found
    assert shown.get("/playground/previews?item_id=x&pictures=1").status_code == 422
    by_row = shown.get("/" + found[pictured.id]["picture"])
    assert (by_row.headers["content-type"], by_row.content) == ("image/jpeg", content)
    again = shown.get("/" + found[pictured.id]["picture"], headers={"If-None-Match": by_row.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    # Rows of another file, and none: the id decides.
    for row in ("0", "119", "120", "999999999", "-1", "x", "²"):
        given = {"item_id": pictured.id, "row": row}
        assert shown.get("/playground/picture", params=given).content == content, row
    for other in (bare.id, "nobody", "../shop.toml", ""):
        assert shown.get("/playground/picture", params={"item_id": other}).status_code == 404
    assert shown.get("/playground/previews").status_code == 422
    assert shown.get("/playground/previews?" + "item_id=x&" * 1001).status_code == 422


def test_the_shop_is_told_with_what_can_be_chosen(shown: httpx.Client, client: httpx.Client) -> None:
    shop = shown.get("/playground/shop").json()
    assert (shop["name"], shop["items"], shop["previews"]) == ("synthetic", 120, True)
    assert [facet["attribute"] for facet in shop["facets"]][:2] == ["category", "price"]
    assert shop["personas"] == [{"name": "Ada", "history": []}]
    assert shop["attributes"]["price"] == "number"
    assert {"q2i", "lexical"} <= set(shop["routes"])
    assert shop["degraded"]["fewer_candidates"].startswith("Under load")
    assert (shop["arms"], shop["words"]) == ({}, None), "no experiment turns words on"

    chosen = client.get("/playground/shop").json()
    assert chosen["arms"] == {"towers": ["control", "treatment"], "merge": ["score", "rrf"]}
    assert (chosen["previews"], "facets" in chosen) == (False, False)


@pytest.fixture(scope="module")
def texted(demo: Demo, previews: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A service over an index with titles, that shows the previews of another shop, and has two arms."""
    folder = tmp_path_factory.mktemp("texted")
    experiments = {
        "words": {
            "off": {"weight": 1},
            "on": {"weight": 0, "forced": True, "recall": {"lexical": {"enabled": True}}},
        }
    }
    write_embeddings(demo.bundle, folder / "embeddings", texts=True)
    build_index(folder / "embeddings", folder / "index")
    settings = make_settings(
        demo.bundle.path, folder / "index", experiments=experiments, playground={"previews": previews}
    )
    with serving(settings) as server, httpx.Client(base_url=server.url) as client:
        yield client


def test_only_arms_that_a_caller_may_choose_are_told(texted: httpx.Client) -> None:
    shop = texted.get("/playground/shop").json()
    assert shop["arms"] == {"words": ["on"]}
    assert shop["words"] == "words=on"
    assert 'kind="forbidden"} 0.0' in texted.get("/metrics").text, "looking is no wrong choice"


def test_titles_of_items_that_the_shops_files_have_not_come_from_the_index(
    texted: httpx.Client, previews: Path
) -> None:
    known = next(_items(previews))
    put = texted.post("/recall", json={"query": "shoes", "k": 1, "fields": ["title"]}).json()["items"][0]
    asked: dict[str, Any] = {"item_id": [known.id, put["item_id"], "nobody"], "pictures": True}
    told = texted.get("/playground/previews", params=asked).json()
    assert {item_id: each["title"] for item_id, each in told.items()} == {
        known.id: known.title,
        put["item_id"]: put["fields"]["title"],
    }


def test_no_picture_is_shown_that_a_link_leads_out_to(demo: Demo, previews: Path, tmp_path: Path) -> None:
    shutil.copytree(previews.parent / "shop", tmp_path / "shop")
    write_previews(tmp_path / "shop", tmp_path / "previews.arrow")
    (tmp_path / "secret.png").write_text("SECRET-OUTSIDE")
    pictured = [item for item in _items(tmp_path / "previews.arrow") if item.picture][:3]
    linked, piped, large = (tmp_path / "shop" / "pictures" / str(item.picture) for item in pictured)
    linked.unlink()
    linked.symlink_to(tmp_path / "secret.png")
    piped.unlink()
    os.mkfifo(piped)
    large.write_bytes(large.read_bytes() + b"\0" * 16_384)
    settings = make_settings(
        demo.bundle.path, demo.index, playground={"previews": tmp_path / "previews.arrow"}
    )
    with serving(settings) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        asked: dict[str, Any] = {"item_id": [item.id for item in pictured], "pictures": True}
        told = client.get("/playground/previews", params=asked).json()
        assert not any("data" in each for each in told.values()), "nor does a large one come along"
        assert client.get("/" + told[pictured[2].id]["picture"]).status_code == 200
        for item in pictured[:2]:
            answer = client.get("/playground/picture", params={"item_id": item.id})
            assert answer.status_code == 404
            assert b"SECRET" not in answer.content


def test_previews_of_the_former_kind_are_read(demo: Demo, previews: Path, tmp_path: Path) -> None:
    items = list(_items(previews))
    rows = {name: [getattr(item, name) for item in items] for name in ("id", "title", "category", "picture")}
    schema = pa.schema([(name, pa.string()) for name in rows])
    pictures = str(previews.parent / "shop" / "pictures")
    table = pa.table(rows, schema=schema.with_metadata({"pictures": pictures}))
    pq.write_table(table, tmp_path / "previews.parquet")
    settings = make_settings(
        demo.bundle.path, demo.index, playground={"previews": tmp_path / "previews.parquet"}
    )
    with serving(settings) as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/playground/shop").json()["previews"] is True
        found = client.get("/playground/previews", params={"item_id": items[0].id}).json()[items[0].id]
        assert (found["title"], found["attributes"]) == (items[0].title, {})


def test_there_are_no_previews_where_none_were_given(client: httpx.Client) -> None:
    assert client.get("/playground/previews", params={"item_id": "i1"}).status_code == 404


def _items(previews: Path) -> Iterator[Item]:
    return Shop.open(previews.parent / "shop").items()
