"""What looks after an index: scrubs, rebuilds that fail, and leftovers."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.deadline import Deadline
from devtools.embeddings import make_embeddings, unit_vectors
from index.changes import ItemPut
from index.embedded.build import build_index
from index.embedded.engine import EmbeddedEngine, EmbeddedSettings
from index.embedded.index import EmbeddedIndex
from index.embedded.manifest import MANIFEST_NAME, VECTORS_NAME, IndexDamaged, read_manifest
from index.embedded.rebuild import RebuildFailed, rebuild_index
from index.embedded.store import working_folder
from index.embedded.upkeep import Upkeep
from index.port import IndexFull, IndexUnavailable

DIM = 16


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_embeddings(tmp_path / "e", rows=50, dim=DIM, expert_dim=8)
    build_index(tmp_path / "e", tmp_path / "index")
    return tmp_path / "index"


def deadline() -> Deadline:
    return Deadline.after(60)


@pytest.fixture
def vectors(folder: Path) -> Path:
    return folder / read_manifest(folder).folder / VECTORS_NAME


def folders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir())


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)


def test_a_scrub_finds_damage_and_its_mending(folder: Path, vectors: Path) -> None:
    upkeep, other = (Upkeep(folder, lambda: None, 3600) for _ in range(2))
    events: list[str] = []
    upkeep._told = events.append
    began = other.verified_at
    flip(vectors)
    upkeep.look(began + 1)
    assert (upkeep.problems, events) == ((), [])  # not due
    upkeep.look(began + 3601)
    assert [problem.partition(": ")[2] for problem in upkeep.problems] == [
        "has another checksum than the manifest"
    ]
    assert events == ["damaged"]
    assert upkeep.verified_at == began
    other.look(began + 1)  # of many workers one scrubs, and all know
    assert other.problems == upkeep.problems
    flip(vectors)
    upkeep.look(began + 7202)
    assert (upkeep.problems, events) == ((), ["damaged", "verified", "mended"])
    assert upkeep.verified_at > began


def test_one_worker_scrubs_at_a_time(folder: Path, vectors: Path) -> None:
    upkeep = Upkeep(folder, lambda: None, 3600)
    flip(vectors)
    with (folder / "verify.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        upkeep.look(upkeep.verified_at + 3601)
        assert upkeep.problems == ()
    upkeep.look(upkeep.verified_at + 3601)
    assert len(upkeep.problems) == 1


def test_what_dead_processes_left_is_removed(folder: Path) -> None:
    (folder / ".new-123").mkdir()
    (folder / ".new-123" / "vectors.f16").touch()
    (folder / "base-deadbeef").mkdir()
    with working_folder(folder) as work:  # of one that lives
        opened = EmbeddedEngine().open(folder, EmbeddedSettings(), queue=4)
        assert work.exists()
    assert folders(folder) == [read_manifest(folder).folder]
    assert opened.upkeep is not None
    assert opened.upkeep.problems == ()


async def test_a_rebuild_removes_what_rebuilds_before_it_left(folder: Path) -> None:
    index = EmbeddedIndex.open(folder)
    await index.remove(["item-1"], deadline())
    (folder / ".new-77").mkdir()
    manifest = await index.rebuild()
    assert folders(folder) == [manifest.folder]
    await index.close()


async def test_a_rebuild_that_fails_is_not_begun_again_at_once(
    folder: Path, vectors: Path, caplog: pytest.LogCaptureFixture
) -> None:
    index = EmbeddedIndex.open(folder, rebuild_after=1)
    events: list[str] = []
    index._live.told = events.append
    flip(vectors)  # a rebuild would give what is damaged a checksum of its own
    with pytest.raises(IndexDamaged):
        rebuild_index(folder)
    for number in range(3):
        await index.remove([f"item-{number}"], deadline())
        if index._rebuilder.running is not None:
            await index._rebuilder.running
    assert events == ["rebuild_failed"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "goes on as it is for 30 s" in caplog.text
    await index.close()


async def test_a_disk_that_is_nearly_full_takes_no_change(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    free = shutil.disk_usage(folder).free
    index = EmbeddedIndex.open(folder, reserve=free + (1 << 40))
    events: list[str] = []
    index._live.told = events.append
    for _ in range(2):
        with pytest.raises(IndexFull, match=r"no-space: .* are free, of which .* are kept back"):
            await index.upsert([ItemPut("x", unit_vectors(1, DIM)[0])], deadline())
    assert events == ["no_space"] * 2
    assert len(caplog.records) == 1
    assert (await index.stats()).items == 50
    assert index.revision is not None
    await index.close()


async def test_a_rebuild_needs_room(folder: Path) -> None:
    index = EmbeddedIndex.open(folder)
    await index.remove(["item-1"], deadline())
    await index.close()
    with pytest.raises(RebuildFailed, match="bytes for another base"):
        rebuild_index(folder, reserve=1 << 60)
    assert folders(folder) == [read_manifest(folder).folder]


async def test_a_mapped_file_that_is_cut_is_an_error(folder: Path, vectors: Path) -> None:
    index = EmbeddedIndex.open(folder)
    size = os.stat(vectors).st_size  # noqa: PTH116 -- `Path.stat` is refused in async functions
    os.truncate(vectors, 100)
    index._live._looked = 0.0
    with pytest.raises(IndexUnavailable, match=f"damaged: .*has 100 bytes, expected {size}"):
        await index.search(unit_vectors(1, DIM), 3, None, deadline())
    with pytest.raises(IndexUnavailable, match="damaged"):
        await index.vectors(["item-1"], deadline())
    await index.close()


@pytest.fixture
def edited(folder: Path) -> Iterator[dict[str, object]]:
    """Changes to the manifest, which is then given the version and folder that it asks for."""
    changes: dict[str, object] = {}
    yield changes
    manifest = read_manifest(folder)
    later = manifest.model_copy(update=changes).versioned()
    (folder / manifest.folder).rename(folder / later.folder)
    (folder / MANIFEST_NAME).write_text(later.to_json())
    with pytest.raises(IndexDamaged):
        EmbeddedIndex.open(folder)


def test_a_later_sequence_is_refused(edited: dict[str, object]) -> None:
    edited["sequence"] = 7


@pytest.mark.parametrize(
    "kinds",
    [{"brand": "list"}, {"tags": "string"}, {"price": "bool", "in_stock": "number"}, {"price": "string"}],
)
def test_other_types_are_refused(folder: Path, edited: dict[str, object], kinds: dict[str, str]) -> None:
    edited["attributes"] = {**read_manifest(folder).attributes, **kinds}


async def test_a_folder_that_is_gone_is_told_until_it_can_be_opened_again(
    folder: Path, tmp_path: Path
) -> None:
    index = EmbeddedIndex.open(folder)
    upkeep, events, query = index.look_after(0), list[str](), unit_vectors(1, DIM)
    upkeep.listen(events.append)
    try:
        shutil.move(folder, tmp_path / "gone")
        (found,) = await index.search(query, 5, None, deadline())
        assert len(found.ids) == 5, "what is open answers"
        assert upkeep.unopened is not None
        assert str(folder) in upkeep.unopened
        assert upkeep.problems == (), "which keeps no worker from being ready"
        shutil.move(tmp_path / "gone", folder)
        await index.search(query, 5, None, deadline())
        assert upkeep.unopened is None
        make_embeddings(tmp_path / "e", rows=50, dim=DIM, expert_dim=8, bundle_version="another")
        build_index(tmp_path / "e", folder)
        await index.search(query, 5, None, deadline())
        assert "another" in (upkeep.unopened or "")
        assert events == ["unopened", "unopened"]
    finally:
        await index.close()
