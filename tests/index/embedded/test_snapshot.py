"""A snapshot holds what the index held, and an index is made of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from common.deadline import Deadline
from devtools.embeddings import unit_vectors
from devtools.index_faults import DIM, contents, make_index
from index.changes import ItemPut
from index.embedded.index import EmbeddedIndex
from index.embedded.manifest import IndexDamaged, read_manifest
from index.embedded.snapshot import IndexThere, restore_index, snapshot_index
from index.embedded.verify import verify_index

FORMAT_1 = Path(__file__).parent / "formats" / "1" / "index"


@pytest.fixture
async def index(tmp_path: Path) -> Path:
    return await make_index(tmp_path)


def found(root: Path, pattern: str) -> list[Path]:
    return list(root.glob(pattern))


async def put(root: Path, item_id: str) -> None:
    opened = EmbeddedIndex.open(root)
    await opened.upsert([ItemPut(item_id, unit_vectors(1, DIM)[0])], Deadline.after(60))
    await opened.close()


async def test_restore_from_a_snapshot_equals_the_model(index: Path, tmp_path: Path) -> None:
    before = await contents(index)
    manifest = snapshot_index(index, tmp_path / "snapshot")
    assert verify_index(tmp_path / "snapshot") == []
    assert await contents(tmp_path / "snapshot") == before
    await put(index, "later")
    servers = [EmbeddedIndex.open(index) for _ in range(2)]
    revisions = {server.revision for server in servers}
    with pytest.raises(IndexThere, match="--force"):
        restore_index(tmp_path / "snapshot", index)
    restored = restore_index(tmp_path / "snapshot", index, force=True)
    assert restored.sequence > manifest.sequence
    assert await contents(index) == before
    for server in servers:  # they move to it, and no cache takes it for what was there
        assert (await server.vectors(["later"], Deadline.after(60))).ids == []
        assert server.revision not in revisions
        assert (await server.remove(["new-1"], Deadline.after(60))).written == 1
        await server.upsert([ItemPut("new-1", unit_vectors(1, DIM)[0])], Deadline.after(60))
        await server.close()
    assert len(found(index, "quarantine/*/changes.log")) == 1


async def test_a_snapshot_makes_an_index_where_none_is(index: Path, tmp_path: Path) -> None:
    before = await contents(index)
    snapshot_index(index, tmp_path / "snapshot")
    shutil.rmtree(index)
    restored = restore_index(tmp_path / "snapshot", index)
    assert restored == read_manifest(tmp_path / "snapshot")
    assert await contents(index) == before
    await put(index, "later")


@pytest.mark.parametrize("name", ["index.json", "changes.log", "changes.end", "vectors.f16"])
async def test_it_restores_over_a_damaged_index(index: Path, tmp_path: Path, name: str) -> None:
    before = await contents(index)
    snapshot_index(index, tmp_path / "snapshot")
    (path,) = found(index, f"**/{name}")
    path.write_bytes(path.read_bytes()[:20])
    assert [finding.file for finding in verify_index(index)] in ([path], [path.with_name("changes.log")])
    with pytest.raises(IndexDamaged):
        snapshot_index(index, tmp_path / "another")
    assert not (tmp_path / "another").exists()
    restore_index(tmp_path / "snapshot", index, force=True)
    assert await contents(index) == before


async def test_a_damaged_snapshot_is_refused_and_the_index_stays(index: Path, tmp_path: Path) -> None:
    snapshot_index(index, tmp_path / "snapshot")
    before = await contents(index)
    (path,) = found(tmp_path / "snapshot", "**/features.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(IndexDamaged, match=r"features\.npy: has another checksum"):
        restore_index(tmp_path / "snapshot", index, force=True)
    assert await contents(index) == before
    assert not found(index, ".new-*")


def test_nothing_is_written_over(index: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    for call in (snapshot_index, restore_index):
        with pytest.raises(IndexThere):
            call(index, tmp_path / "mine")
    with pytest.raises(IndexThere, match="is no index folder"):
        restore_index(index, tmp_path / "mine", force=True)


def test_an_index_of_format_1_gives_a_snapshot_of_now(tmp_path: Path) -> None:
    assert snapshot_index(FORMAT_1, tmp_path / "snapshot").format == 2
    assert verify_index(tmp_path / "snapshot") == []
    assert verify_index(FORMAT_1) == []
