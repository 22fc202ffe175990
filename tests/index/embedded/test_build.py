from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artifacts.embeddings import EmbeddingsError
from common.deadline import Deadline
from devtools.embeddings import make_embeddings, random_items, unit_vectors
from index.embedded.build import build_index
from index.embedded.index import EmbeddedIndex
from index.embedded.manifest import FILE_NAMES, MANIFEST_NAME, IndexDamaged, read_manifest


@pytest.fixture
def embeddings(tmp_path: Path) -> Path:
    return make_embeddings(tmp_path / "embeddings", rows=50, dim=16, expert_dim=8)


def test_the_same_embeddings_give_the_same_bytes(tmp_path: Path, embeddings: Path) -> None:
    one, other = (build_index(embeddings, tmp_path / name) for name in ("one", "other"))
    assert one == other
    for name in (*(f"{one.folder}/{name}" for name in FILE_NAMES), MANIFEST_NAME):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    prefix, _, digits = one.index_version.rpartition(".")
    assert prefix == one.bundle_version == "demo-00000000"
    assert len(digits) == 8


def test_other_embeddings_give_another_version(tmp_path: Path, embeddings: Path) -> None:
    before = build_index(embeddings, tmp_path / "index")
    vectors = np.load(embeddings / "embeddings.npy")
    vectors[7] = -vectors[7]
    np.save(embeddings / "embeddings.npy", vectors)
    after = build_index(embeddings, tmp_path / "index")
    assert after.index_version != before.index_version
    assert read_manifest(tmp_path / "index") == after


def test_progress_and_manifest(tmp_path: Path, embeddings: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    manifest = build_index(embeddings, tmp_path / "index", lambda done, total: seen.append((done, total)))
    assert seen[-1] == (50, 50)
    assert (manifest.rows, manifest.dim, manifest.experts, manifest.expert_dim) == (50, 16, 3, 8)
    expected = {"category": "list", "brand": "string", "price": "number", "in_stock": "bool", "tags": "list"}
    assert manifest.attributes == expected


@pytest.mark.parametrize("name", FILE_NAMES)
def test_a_flipped_byte_is_found(tmp_path: Path, embeddings: Path, name: str) -> None:
    path = tmp_path / "index" / build_index(embeddings, tmp_path / "index").folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(IndexDamaged, match=f"{name}: has another checksum") as caught:
        EmbeddedIndex.open(tmp_path / "index")
    assert caught.value.file == path


@pytest.mark.parametrize("name", FILE_NAMES)
@pytest.mark.parametrize("verify", [True, False])
def test_a_short_or_absent_file_is_found(tmp_path: Path, embeddings: Path, name: str, verify: bool) -> None:
    path = tmp_path / "index" / build_index(embeddings, tmp_path / "index").folder / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IndexDamaged, match=f"{name}: has .* bytes, the manifest says"):
        EmbeddedIndex.open(tmp_path / "index", verify=verify)
    path.unlink()
    with pytest.raises(IndexDamaged, match=f"{name}: cannot be read"):
        EmbeddedIndex.open(tmp_path / "index", verify=verify)


@pytest.mark.parametrize("name", FILE_NAMES)
def test_garbage_of_the_right_size_is_found_without_checksums(
    tmp_path: Path, embeddings: Path, name: str
) -> None:
    path = tmp_path / "index" / build_index(embeddings, tmp_path / "index").folder / name
    path.write_bytes(b"\xff" * path.stat().st_size)
    with pytest.raises(IndexDamaged, match=name):
        EmbeddedIndex.open(tmp_path / "index", verify=False)


def test_a_manifest_that_was_edited_is_refused(tmp_path: Path, embeddings: Path) -> None:
    build_index(embeddings, tmp_path / "index")
    path = tmp_path / "index" / MANIFEST_NAME
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"bundle_version": "other-11111111"}))
    with pytest.raises(IndexDamaged, match="does not add up to its version"):
        read_manifest(tmp_path / "index")
    path.write_text(json.dumps(manifest | {"format": 4}))
    with pytest.raises(IndexDamaged, match="has format 4, this version reads up to 3: a later version"):
        read_manifest(tmp_path / "index")
    path.unlink()
    with pytest.raises(IndexDamaged, match=r"there is no index\.json"):
        read_manifest(tmp_path / "index")


def _rewrite(folder: Path, **columns: Any) -> None:
    table = pq.read_table(folder / "items.parquet")
    for name, values in columns.items():
        table = table.drop_columns([name])
        if values is not None:
            table = table.append_column(name, values)
    pq.write_table(table, folder / "items.parquet")


def _edit(path: Path, row: int, value: float) -> None:
    array = np.load(path)
    array[row] = value
    np.save(path, array)


def _edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "meta.json").unlink(), r"there is no meta\.json; `mrse embed"),
        (lambda f: _edit_json(f / "meta.json", rows="many"), r"meta\.json: rows: Input should be"),
        (lambda f: _edit_json(f / "meta.json", rows=51), r"items\.parquet: has 50 rows, meta\.json says 51"),
        (lambda f: _edit_json(f / "meta.json", dim=17), r"embeddings\.npy: has float16 \(50, 16\), expected"),
        (
            lambda f: _edit_json(f / "schema.json", attributes={"x": "date"}),
            r"schema\.json: attributes\.x: Input",
        ),
        (lambda f: _edit_json(f / "schema.json", attributes={"id": "string"}), r"schema\.json: .*'id'"),
        (
            lambda f: _edit_json(f / "schema.json", attributes={"colour": "string"}),
            r"items\.parquet: has no column 'colour'",
        ),
        (lambda f: (f / "items.parquet").write_bytes(b"no"), r"items\.parquet: cannot be read as Parquet"),
        (
            lambda f: _rewrite(f, price=pa.array([["a"]] * 50)),
            r"items\.parquet: column 'price' has type list.*expected number",
        ),
        (
            lambda f: _rewrite(f, in_stock=pa.array([1] * 50)),
            r"items\.parquet: column 'in_stock' has type int64, expected bool",
        ),
        (
            lambda f: _rewrite(f, tags=pa.array(["a"] * 50)),
            r"items\.parquet: column 'tags' has type string, expected list",
        ),
        (
            lambda f: _rewrite(f, id=pa.array(["a", None] + [str(n) for n in range(48)])),
            r"items\.parquet: has 1 rows without an id",
        ),
        (
            lambda f: _rewrite(f, id=pa.array(["a", "b", "a"] + [str(n) for n in range(47)])),
            r"items\.parquet: id 'a' is in row 0 and in row 2",
        ),
        (lambda f: _edit(f / "embeddings.npy", 4, 0.0), r"embeddings\.npy: row 4 has length 0\.000"),
        (lambda f: _edit(f / "embeddings.npy", 5, np.nan), r"embeddings\.npy: row 5 has values that are not"),
        (lambda f: _edit(f / "features.npy", 6, np.inf), r"features\.npy: row 6 has values that are not"),
        (
            lambda f: np.save(f / "features.npy", np.zeros((50, 3, 8), np.float32)),
            r"features\.npy: has float32 \(50, 3, 8\), expected float16",
        ),
        (lambda f: (f / "features.npy").write_bytes(b"no"), r"features\.npy: cannot be read"),
    ],
)
def test_embeddings_that_do_not_fit_are_refused(
    tmp_path: Path, embeddings: Path, damage: Any, message: str
) -> None:
    before = build_index(embeddings, tmp_path / "index")
    damage(embeddings)
    with pytest.raises(EmbeddingsError, match=message):
        build_index(embeddings, tmp_path / "index")
    # The index that was there is whole, and nothing lies about.
    assert read_manifest(tmp_path / "index") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["embeddings", "index"]


def test_a_folder_that_is_no_index_is_left_alone(tmp_path: Path, embeddings: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="is no index folder"):
        build_index(embeddings, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()
    (tmp_path / "empty").mkdir()
    build_index(embeddings, tmp_path / "empty")


@pytest.mark.parametrize(("bundle", "moves"), [("demo-00000000", True), ("other-11111111", False)])
async def test_an_open_index_moves_to_its_replacement_if_the_bundle_is_the_same(
    tmp_path: Path, embeddings: Path, bundle: str, moves: bool
) -> None:
    build_index(embeddings, tmp_path / "index")
    index = EmbeddedIndex.open(tmp_path / "index")
    query = unit_vectors(1, 16, seed=4)
    before = await index.search(query, 5, None, Deadline.after(60))
    more = make_embeddings(tmp_path / "more", rows=60, dim=16, seed=8, expert_dim=8, bundle_version=bundle)
    build_index(more, tmp_path / "index")
    after = await index.search(query, 5, None, Deadline.after(60))
    assert (after[0].ids != before[0].ids) == moves
    assert (await index.stats()).items == (60 if moves else 50)
    await index.close()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"category": "a>" * 16}, "'category' has 17 levels"),
        ({"brand": "a" * 513}, "'brand' has a value of 513 characters"),
        ({"tags": ["b", "a" * 513]}, "'tags' has a value of 513 characters"),
        ({"tags": ["b"] * 1001}, "'tags' has a list of 1001 values"),
        ({"tags": ["b" * 400] * 100}, "'tags' has values of 40000 characters in all; at most 32768"),
    ],
)
def test_values_that_no_filter_may_ask_for_are_refused(
    tmp_path: Path, values: dict[str, Any], reason: str
) -> None:
    items = [*random_items(3), {**random_items(4)[3], **values}]
    folder = make_embeddings(tmp_path / "e", items=items, dim=16, expert_dim=8)
    with pytest.raises(EmbeddingsError, match=reason):
        build_index(folder, tmp_path / "index")


def test_rows_without_category_or_attributes(tmp_path: Path) -> None:
    items = [{"id": item["id"]} for item in random_items(5)]
    build_index(make_embeddings(tmp_path / "e", items=items, dim=16, expert_dim=8), tmp_path / "index")
    build_index(
        make_embeddings(tmp_path / "f", items=items, dim=16, expert_dim=8, attributes={}), tmp_path / "bare"
    )
    assert dict(EmbeddedIndex.open(tmp_path / "bare").attributes) == {"category": "list"}
