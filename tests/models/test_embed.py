"""Embedding a catalogue: the result, and that a kill at any point changes nothing of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from artifacts.bundle import Bundle, ItemText, ItemTower
from artifacts.embeddings import EmbeddingsHeld
from artifacts.shop.errors import DataError
from artifacts.shop.schema import Event, Item, ShopSchema
from artifacts.shop.shop import Shop
from artifacts.shop.writer import ShopWriter
from models.clicked_photos import OWN, clicked_photos, mean_photo
from models.embed import embed_shop
from tests.support import shop as small

COLOURS = tuple(small.COLOURS)
ATTRIBUTES = {
    "price": "number",
    "in_stock": "bool",
    "brand": "string",
    "tags": "list",
}


def write_shop(path: Path, copies: int = 12) -> Shop:
    """720 items, more than two batches; a third have no picture, two users click pairs."""
    at = datetime(2026, 10, 1, tzinfo=UTC)
    with ShopWriter(path, ShopSchema(name="small", attributes=ATTRIBUTES)) as writer:
        for colour in COLOURS:
            writer.add_picture(f"{colour}.png", small.picture(colour))
        for copy in range(copies):
            for item in small.items():
                picture = None if copy % 3 == 0 else f"{item['colour']}.png"
                values = {name: item[name] for name in ATTRIBUTES}
                writer.add_item(
                    Item(
                        f"{item['id']}-{copy}",
                        item["title"],
                        item["category"],
                        picture=picture,
                        attributes=values,
                    )
                )
        for user in ("u1", "u2"):
            for step, item_id in enumerate(("i0-0", "i5-1")):
                when = at + timedelta(minutes=step)
                writer.add_event(Event(when, item_id, "click", "shoes", user, split="train"))
    return Shop.open(path)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small.bundle(tmp_path_factory.mktemp("bundle") / "b")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return write_shop(tmp_path_factory.mktemp("shop") / "s")


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_rows_shapes_and_types(shop: Shop, bundle: Bundle, tmp_path: Path) -> None:
    summary = embed_shop(shop, bundle, tmp_path / "e")
    dims = bundle.manifest.dimensions
    features = np.load(tmp_path / "e" / "features.npy")
    embeddings = np.load(tmp_path / "e" / "embeddings.npy")
    table = pq.read_table(tmp_path / "e" / "items.parquet")
    meta = json.loads((tmp_path / "e" / "meta.json").read_text())
    assert summary.rows == meta["rows"] == table.num_rows == 720
    assert features.shape == (720, 3, dims.expert_dim)
    assert embeddings.shape == (720, dims.embedding_dim)
    assert features.dtype == embeddings.dtype == np.float16
    texts = pq.read_table(tmp_path / "e" / "texts.parquet")
    assert texts.column_names == ["id", "title", "category", "description"] == ["id", *meta["text_fields"]]
    assert texts["id"].to_pylist() == table["id"].to_pylist()
    assert [title for title in texts["title"].to_pylist() if not title] == []
    assert meta["language"] == "english"
    np.testing.assert_allclose(np.linalg.norm(embeddings.astype(np.float32), axis=1), 1.0, atol=2e-3)
    assert table.column_names == ["id", "category", *ATTRIBUTES, "popularity"]
    assert table["id"].to_pylist() == [item.id for item in shop.items()]
    assert meta["bundle_version"] == bundle.version
    assert not (tmp_path / "e.partial").exists()


def test_features_are_those_of_the_graph_run_alone(shop: Shop, bundle: Bundle, tmp_path: Path) -> None:
    embed_shop(shop, bundle, tmp_path / "e")
    features = np.load(tmp_path / "e" / "features.npy")
    tower = ItemTower(bundle)
    for row in (0, 61, 719):
        item = list(shop.items())[row]
        picture = None
        if item.picture:
            pixels = shop.pixels(item.picture, bundle.manifest.picture.side)
            picture = tower.picture_features(pixels[None])[0]
        alone = tower.features([ItemText(item.title, item.category, item.description)], [picture])[0]
        np.testing.assert_allclose(features[row].astype(np.float32), alone, atol=5e-3, rtol=5e-3)


def test_co_clicked_items_move_the_embedding(shop: Shop, bundle: Bundle, tmp_path: Path) -> None:
    embed_shop(shop, bundle, tmp_path / "e")
    features = np.load(tmp_path / "e" / "features.npy").astype(np.float32)
    embeddings = np.load(tmp_path / "e" / "embeddings.npy").astype(np.float32)
    alone = ItemTower(bundle).embeddings(features)
    rows = {item.id: row for row, item in enumerate(shop.items())}
    clicked = [rows["i0-0"], rows["i5-1"]]
    moved = np.abs(embeddings - alone).max(axis=1) > 2e-3
    assert sorted(np.flatnonzero(moved)) == sorted(clicked)


class Killed(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize("stage", ["items", "features", "embeddings"])
@pytest.mark.parametrize("call", [1, 2])
def test_a_kill_leaves_nothing_wrong(
    shop: Shop, bundle: Bundle, tmp_path: Path, stage: str, call: int
) -> None:
    embed_shop(shop, bundle, tmp_path / "whole")
    seen = 0

    def kill(at: str, done: int, total: int | None) -> None:
        nonlocal seen
        seen += at == stage
        if seen == call:
            raise Killed

    try:
        embed_shop(shop, bundle, tmp_path / "e", progress=kill)
    except Killed:
        assert not (tmp_path / "e").exists(), "an unfinished folder must not look finished"
    again = embed_shop(shop, bundle, tmp_path / "e")
    assert files(tmp_path / "e") == files(tmp_path / "whole")
    if stage == "features":
        assert again.resumed_from == 256 * call, "rows that were done must not be done again"


def test_a_partial_folder_of_another_bundle_is_not_reused(shop: Shop, bundle: Bundle, tmp_path: Path) -> None:
    def kill(at: str, done: int, total: int | None) -> None:
        if at == "embeddings":
            raise Killed

    with pytest.raises(Killed):
        embed_shop(shop, bundle, tmp_path / "e", progress=kill)
    other = small.bundle(tmp_path / "other", seed=2)
    summary = embed_shop(shop, other, tmp_path / "e")
    assert summary.resumed_from == 0
    embed_shop(shop, other, tmp_path / "clean")
    assert files(tmp_path / "e") == files(tmp_path / "clean")


def test_embeddings_of_another_bundle_go_only_when_that_is_said(
    shop: Shop, bundle: Bundle, tmp_path: Path
) -> None:
    embed_shop(shop, bundle, tmp_path / "e")
    before = files(tmp_path / "e")
    other = small.bundle(tmp_path / "other", seed=2)
    told: list[str] = []
    with pytest.raises(EmbeddingsHeld, match=f"of bundle {bundle.version}, not of {other.version}.*--force"):
        embed_shop(shop, other, tmp_path / "e", replace=False, progress=lambda at, *_: told.append(at))
    assert files(tmp_path / "e") == before
    assert not told, "it is said before any work"
    embed_shop(shop, bundle, tmp_path / "e", replace=False)
    assert embed_shop(shop, other, tmp_path / "e", replace=True).bundle_version == other.version


@pytest.fixture
def broken_shop(tmp_path: Path) -> Shop:
    schema = ShopSchema(name="broken")
    with ShopWriter(tmp_path / "broken", schema) as writer:
        writer.add_picture("bad.png", b"\x89PNG no")
        writer.add_item(Item("a", "red cup", picture="bad.png"))
    return Shop.open(tmp_path / "broken")


def test_a_damaged_picture_is_named(broken_shop: Shop, bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"pictures/bad\.png.*JPEG or PNG"):
        embed_shop(broken_shop, bundle, tmp_path / "e")


def test_a_folder_that_holds_no_embeddings_is_left_alone(shop: Shop, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="is no embeddings folder"):
        embed_shop(shop, bundle, tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_photos_that_led_to_an_item_are_pictures_of_it(bundle: Bundle, tmp_path: Path) -> None:
    at = datetime(2026, 10, 1, tzinfo=UTC)
    with ShopWriter(tmp_path / "shop", ShopSchema(name="photos")) as writer:
        for number, colour in enumerate(COLOURS[:5]):
            writer.add_picture(f"{number}.png", small.picture(colour))
        for name, own in (("a", "0.png"), ("b", "1.png"), ("c", None), ("d", "0.png")):
            writer.add_item(Item(name, name, "Things", picture=own))

        def click(item: str, photo: str, query: str = "", split: str = "train") -> None:
            writer.add_event(Event(at, item, "click", query, "u", picture=photo, split=split))

        for photo in ("2.png", "3.png"):
            click("a", photo)
            click("a", photo)  # the same search once more shows nothing new
        for photo in ("1.png", "4.png"):
            click("b", photo)
            click("c", photo)  # and one that led to several items is of none
        click("b", "0.png", split="val")
        click("d", "2.png", query="in red")  # words and photo: it shows what was meant less than half
    shop = Shop.open(tmp_path / "shop")
    own, seen = tmp_path / "own", tmp_path / "seen"
    embed_shop(shop, bundle, own)
    embed_shop(shop, bundle, seen, photos=2)
    before, after = (np.load(path / "pictures.npy").astype(np.float32) for path in (own, seen))
    np.testing.assert_array_equal(after[1:], before[1:])
    features = ItemTower(bundle).picture_features(
        np.stack([shop.pixels(f"{n}.png", bundle.manifest.picture.side) for n in (0, 2, 3)])
    )
    mean = (features / np.linalg.norm(features, axis=1, keepdims=True)).mean(axis=0)  # few: each counts alike
    np.testing.assert_allclose(after[0], mean / np.linalg.norm(mean), atol=2e-3)
    assert np.abs(after[0] - before[0]).max() > 1e-2
    # Vectors and features are as they were; held-out photos count where serving asks for all.
    for name in ("features.npy", "embeddings.npy"):
        np.testing.assert_array_equal(np.load(own / name), np.load(seen / name))
    assert clicked_photos(shop, 0.05, "train", 1) == {"a": ["2.png", "3.png"]}
    assert clicked_photos(shop, 0.05, "all", 1) == {"a": ["2.png", "3.png"], "b": ["0.png"]}
    assert clicked_photos(shop, 0.05, "all", 0) == {}


def test_an_own_picture_is_not_lost_among_many_photos() -> None:
    own, photo = np.eye(2, dtype=np.float32)
    many = np.stack([own, *[photo] * 30])
    found = mean_photo(many, own=True)
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-5)
    assert found[0] / found[1] == pytest.approx(OWN / (1 - OWN), abs=1e-5)
    assert mean_photo(many, own=False)[0] < found[0] / 5, "without one of its own the first is one of many"
    few = mean_photo(np.stack([own, photo, photo]), own=True)
    assert few[0] / few[1] == pytest.approx(0.5, abs=1e-5), "few count alike"
    np.testing.assert_allclose(mean_photo(own[None], own=True), own)
