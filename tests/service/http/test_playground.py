"""The playground needs nothing from elsewhere; titles and pictures are there where a shop was given."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from artifacts.shop.schema import Item
from artifacts.shop.shop import Shop
from cli.serving import write_previews
from models.synthetic import make_shop
from tests.service.conftest import Demo
from tests.support.serving import make_settings, serving


@pytest.fixture(scope="module")
def previews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("previews")
    make_shop(folder / "shop", items=1000, seed=3)
    write_previews(folder / "shop", folder / "previews.parquet")
    return folder / "previews.parquet"


def test_the_playground_loads_nothing_and_runs_only_its_own_script(client: httpx.Client) -> None:
    response = client.get("/")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page, policy = response.text, response.headers["content-security-policy"]
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?!data:|playground/)[^"'\s>]""", page)
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.search(r"\son\w+=|\sstyle=|innerHTML", page)


def test_previews_are_what_the_shop_says(demo: Demo, previews: Path) -> None:
    settings = make_settings(demo.bundle.path, demo.index, playground={"previews": previews})
    items = {item.id: item for item in _items(previews)}
    pictured = next(item for item in items.values() if item.picture)
    bare = next(item for item in items.values() if not item.picture)
    with serving(settings) as server, httpx.Client(base_url=server.url) as client:
        asked = [("item_id", pictured.id), ("item_id", bare.id), ("item_id", "nobody")]
        found = client.get("/playground/previews", params=asked).json()
        assert found == {
            item.id: {"title": item.title, "category": item.category, "picture": bool(item.picture)}
            for item in (pictured, bare)
        }
        picture = client.get("/playground/picture", params={"item_id": pictured.id})
        assert picture.headers["content-type"].startswith("image/")
        assert (
            picture.content == (previews.parent / "shop" / "pictures" / (pictured.picture or "")).read_bytes()
        )
        for other in (bare.id, "nobody", "../shop.toml"):
            assert client.get("/playground/picture", params={"item_id": other}).status_code == 404


def test_no_picture_is_shown_that_a_link_leads_out_to(demo: Demo, tmp_path: Path) -> None:
    make_shop(tmp_path / "shop", items=1000, seed=3)
    write_previews(tmp_path / "shop", tmp_path / "previews.parquet")
    (tmp_path / "secret.png").write_text("SECRET-OUTSIDE")
    pictured = [item for item in _items(tmp_path / "previews.parquet") if item.picture][:2]
    linked, piped = (tmp_path / "shop" / "pictures" / str(item.picture) for item in pictured)
    linked.unlink()
    linked.symlink_to(tmp_path / "secret.png")
    piped.unlink()
    os.mkfifo(piped)
    settings = make_settings(
        demo.bundle.path, demo.index, playground={"previews": tmp_path / "previews.parquet"}
    )
    with serving(settings) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        for item in pictured:
            answer = client.get("/playground/picture", params={"item_id": item.id})
            assert answer.status_code == 404
            assert b"SECRET" not in answer.content


def test_there_are_no_previews_where_none_were_given(client: httpx.Client) -> None:
    assert client.get("/playground/previews", params={"item_id": "i1"}).status_code == 404


def _items(previews: Path) -> Iterator[Item]:
    return Shop.open(previews.parent / "shop").items()
