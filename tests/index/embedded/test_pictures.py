"""Search by pictures over an index folder: exact under filters and changes, through rebuild and snapshot."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.deadline import Deadline
from devtools.embeddings import make_embeddings, random_items, unit_vectors
from index.changes import ChangeRefused, ItemPut, ItemUpdate
from index.embedded.apply import upsert_embeddings
from index.embedded.build import build_index
from index.embedded.engine import EmbeddedEngine, EmbeddedSettings
from index.embedded.index import EmbeddedIndex
from index.embedded.manifest import PICTURES_NAME, IndexDamaged, read_manifest
from index.embedded.probe import EXACT
from index.embedded.rebuild import rebuild_index
from index.embedded.searched import Planning
from index.embedded.snapshot import restore_index, snapshot_index
from index.embedded.verify import verify_index
from index.filters import parse_filter
from tests.support.reference import accepts

DIM, PICTURE = 16, 8
FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"brand": ["Acme"]},
    {"price": {"gte": 20}},
    {"category": ["Shoes"]},
)
LISTS = Planning(exact_rows=0, reach=EXACT)


def deadline() -> Deadline:
    return Deadline.after(60)


def some_pictures(rows: int, seed: int = 3) -> np.ndarray:
    """Unit vectors as halves hold them, every third row zeros."""
    pictures = unit_vectors(rows, PICTURE, seed).astype(np.float16).astype(np.float32)
    pictures[::3] = 0
    return pictures


def build(
    tmp_path: Path, rows: int = 200, *, lists: bool = False, pictures: np.ndarray | None = None
) -> Path:
    given = some_pictures(rows) if pictures is None else pictures
    folder = make_embeddings(tmp_path / "embeddings", rows, DIM, items=random_items(rows), pictures=given)
    build_index(folder, tmp_path / "index", cluster_rows=1 if lists else 1000)
    return tmp_path / "index"


@dataclass
class Model:
    """What the index has to hold: attributes and pictures by id."""

    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    pictures: dict[str, np.ndarray | None] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: int) -> Model:
        made, pictures = cls(), some_pictures(rows)
        for item, picture in zip(random_items(rows), pictures, strict=True):
            made.items[item["id"]] = item
            made.pictures[item["id"]] = picture if picture.any() else None
        return made

    async def check(self, index: EmbeddedIndex, seed: int = 11) -> None:
        """Every filter gives exactly the best of the items that have a picture and meet it."""
        query = unit_vectors(1, PICTURE, seed)
        for raw in FILTERS:
            parsed = parse_filter(raw, index.attributes) if raw else None
            (found,) = await index.search_pictures(query, 20, parsed, deadline())
            scores = {
                item_id: float(picture @ query[0])
                for item_id, picture in self.pictures.items()
                if picture is not None and accepts(raw, self.items[item_id])
            }
            best = sorted(scores.values(), reverse=True)[:20]
            np.testing.assert_allclose(found.scores, best, atol=2e-3)
            for item_id, score in zip(found.ids, found.scores.tolist(), strict=True):
                assert scores[item_id] == pytest.approx(score, abs=2e-3)


@pytest.mark.parametrize("lists", [False, True])
async def test_search_is_exact_under_filters_and_leaves_out_items_without_a_picture(
    tmp_path: Path, lists: bool
) -> None:
    index = EmbeddedIndex.open(build(tmp_path, lists=lists), planning=LISTS if lists else Planning())
    assert index.picture_dim == PICTURE
    assert index.manifest.pictures is not None
    assert (index.manifest.pictures.probing is not None) is lists
    await Model.of(200).check(index)
    await index.close()


@pytest.mark.parametrize("lists", [False, True])
async def test_changes_are_in_the_next_answer_of_every_process_and_survive(
    tmp_path: Path, lists: bool
) -> None:
    rng = random.Random(5)
    root, planning = build(tmp_path, lists=lists), LISTS if lists else Planning()
    model, index = Model.of(200), EmbeddedIndex.open(root, planning=planning)
    other = EmbeddedIndex.open(root, planning=planning)
    fresh = some_pictures(60, seed=9)
    for turn in range(60):
        name = f"item-{rng.randrange(240)}"
        what = rng.random()
        if what < 0.5:
            picture = fresh[turn] if fresh[turn].any() else None
            item = random_items(1, seed=turn)[0] | {"id": name}
            attributes = {k: v for k, v in item.items() if k not in ("id", "category")}
            put = ItemPut(
                name, unit_vectors(1, DIM, turn)[0], None, item["category"], attributes, picture=picture
            )
            await index.upsert([put], deadline())
            model.items[name], model.pictures[name] = item, picture
        elif what < 0.8:
            await index.update([ItemUpdate(name, {"price": float(turn)})], deadline())
            if name in model.items:
                model.items[name] |= {"price": float(turn)}
        else:
            await index.remove([name], deadline())
            model.items.pop(name, None), model.pictures.pop(name, None)
        if turn % 12 == 0:
            await model.check(other, seed=turn)
    await model.check(index)
    again = EmbeddedIndex.open(root, planning=planning)  # reads the log
    await model.check(again)
    await again.close()

    copy = tmp_path / "snapshot"
    snapshot_index(root, copy)
    restore_index(copy, tmp_path / "restored")
    assert verify_index(tmp_path / "restored") == []
    rebuilt = rebuild_index(root)
    assert rebuilt.format == 3
    assert rebuilt.pictures is not None
    assert rebuilt.pictures.rows == sum(picture is not None for picture in model.pictures.values())
    assert verify_index(root) == []
    for each in (index, other):
        await model.check(each)
        await each.close()
    restored = EmbeddedIndex.open(tmp_path / "restored", planning=planning)
    await model.check(restored)
    await restored.close()


async def test_an_index_without_picture_features_offers_no_such_search(tmp_path: Path) -> None:
    make_embeddings(tmp_path / "embeddings", 50, DIM)
    build_index(tmp_path / "embeddings", tmp_path / "index")
    assert "pictures" not in (tmp_path / "index" / "index.json").read_text()
    assert read_manifest(tmp_path / "index").format == 2  # an earlier version reads it
    opened = EmbeddedEngine().open(tmp_path / "index", EmbeddedSettings(), queue=8)
    assert opened.photos is None
    index = opened.index
    assert isinstance(index, EmbeddedIndex)
    await index.upsert(
        [ItemPut("new", unit_vectors(1, DIM)[0], picture=unit_vectors(1, PICTURE)[0])], deadline()
    )
    (found,) = await index.search_pictures(unit_vectors(1, PICTURE), 5, None, deadline())
    assert found.ids == []
    await index.close()


async def test_an_index_whose_items_have_no_picture_yet_takes_some(tmp_path: Path) -> None:
    root = build(tmp_path, 20, pictures=np.zeros((20, PICTURE), np.float32))
    opened = EmbeddedEngine().open(root, EmbeddedSettings(), queue=8)
    assert opened.photos is not None
    assert opened.writable is not None
    picture = unit_vectors(1, PICTURE)
    await opened.writable.upsert([ItemPut("new", unit_vectors(1, DIM)[0], picture=picture[0])], deadline())
    (found,) = await opened.photos.search_pictures(picture, 5, None, deadline())
    assert found.ids == ["new"]
    rebuild_index(root)
    (found,) = await opened.photos.search_pictures(picture, 5, None, deadline())
    assert found.ids == ["new"]
    await opened.index.close()


async def test_pictures_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    index = EmbeddedIndex.open(build(tmp_path, 20))
    vector = unit_vectors(1, DIM)[0]
    for picture, reason in (
        (np.ones(3, np.float32), r"has shape \(3,\), expected \(8,\)"),
        (np.ones(PICTURE, np.float32), r"has length 2\.828, expected 1"),
        (np.full(PICTURE, np.nan, np.float32), "has length nan"),
    ):
        with pytest.raises(ChangeRefused, match=f"its picture feature {reason}"):
            await index.upsert([ItemPut("x", vector, picture=picture)], deadline())
    with pytest.raises(ValueError, match=r"expected finite vectors \[B, 8\]"):
        await index.search_pictures(unit_vectors(1, DIM), 5, None, deadline())
    await index.close()


async def test_another_folder_is_applied_with_its_pictures(tmp_path: Path) -> None:
    root = build(tmp_path, 20)
    picture = unit_vectors(1, PICTURE, seed=4)
    more = make_embeddings(
        tmp_path / "more", 1, DIM, items=[{"id": "new", "category": "Bags"}], pictures=picture
    )
    await upsert_embeddings(root, more, lambda done, total: None)
    index = EmbeddedIndex.open(root)
    (found,) = await index.search_pictures(picture, 1, None, deadline())
    assert found.ids == ["new"]
    await index.close()


@pytest.mark.parametrize("name", [PICTURES_NAME, "picture_rows.npy"])
def test_damage_is_found_and_refused(tmp_path: Path, name: str) -> None:
    root = build(tmp_path, 50)
    path = root / read_manifest(root).folder / name
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    assert [finding.file.name for finding in verify_index(root)] == [name]
    with pytest.raises(IndexDamaged, match=name):
        EmbeddedIndex.open(root)


def test_a_later_version_would_be_told(tmp_path: Path) -> None:
    """An index with pictures says format 3, which versions that do not know them refuse by a sentence."""
    assert read_manifest(build(tmp_path, 20)).format == 3
    embeddings = make_embeddings(tmp_path / "long", 20, DIM, pictures=2 * some_pictures(20))
    with pytest.raises(ValueError, match=r"pictures\.npy: row 1 has length 2\.000, expected 1, or 0"):
        build_index(embeddings, tmp_path / "other")
