"""Index folders that earlier versions wrote, as they lie on disks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.deadline import Deadline
from devtools.embeddings import unit_vectors
from index.changes import ItemPut
from index.embedded.index import EmbeddedIndex
from index.embedded.manifest import IndexDamaged, read_manifest
from index.embedded.rebuild import rebuild_index
from index.embedded.repair import repair

FORMATS = Path(__file__).parent / "formats"


@pytest.fixture(params=sorted(path.name for path in FORMATS.iterdir()))
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A copy of a kept folder, and what it holds."""
    source = FORMATS / request.param
    shutil.copytree(source / "index", tmp_path / "index")
    return tmp_path / "index", json.loads((source / "expected.json").read_text())


def deadline() -> Deadline:
    return Deadline.after(60)


async def holds(index: EmbeddedIndex, expected: dict[str, Any]) -> None:
    assert (await index.stats()).items == len(expected["ids"])
    stored = await index.vectors(expected["ids"], deadline())
    assert stored.ids == expected["ids"]
    np.testing.assert_allclose(stored.vectors, expected["vectors"], atol=1e-6)
    _, features = await index.features(expected["ids"], deadline())
    assert features[:, 0, 0].astype(float).tolist() == expected["features"]


async def test_an_earlier_format_is_read_and_left_as_it_is(kept: tuple[Path, dict[str, Any]]) -> None:
    folder, expected = kept
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    index = EmbeddedIndex.open(folder)
    assert index.version == expected["version"]
    await holds(index, expected)
    await index.close()
    assert {path: path.read_bytes() for path in before} == before


async def test_the_first_change_moves_it_to_the_format_of_now(kept: tuple[Path, dict[str, Any]]) -> None:
    folder, expected = kept
    index, other = EmbeddedIndex.open(folder), EmbeddedIndex.open(folder)
    await index.upsert([ItemPut("after", unit_vectors(1, 16)[0])], deadline())
    assert read_manifest(folder).format == 2
    for each in (index, other):
        assert (await each.stats()).items == len(expected["ids"]) + 1
    await index.remove(["after"], deadline())
    await holds(other, expected)
    rebuild_index(folder)
    for each in (index, other):
        await holds(each, expected)
        await each.close()
    again = EmbeddedIndex.open(folder)
    await holds(again, expected)
    await again.close()


async def test_a_rebuild_moves_it_too(kept: tuple[Path, dict[str, Any]]) -> None:
    folder, expected = kept
    assert rebuild_index(folder).format == 2
    index = EmbeddedIndex.open(folder)
    await holds(index, expected)
    await index.close()


@pytest.mark.parametrize("place", [4, 40, -60])
async def test_a_log_of_format_1_with_a_damaged_record_is_refused(tmp_path: Path, place: int) -> None:
    shutil.copytree(FORMATS / "1" / "index", tmp_path / "index")
    (log,) = (tmp_path / "index").glob("base-*/changes.log")
    content = bytearray(log.read_bytes())
    content[place] ^= 1
    log.write_bytes(content)
    with pytest.raises(IndexDamaged, match=r"changes\.log: has a damaged record"):
        EmbeddedIndex.open(tmp_path / "index")
    repaired = repair(tmp_path / "index")
    index = EmbeddedIndex.open(tmp_path / "index")
    assert repaired.kept in (5, 6)
    await index.close()


async def test_a_log_of_format_1_with_a_gap_is_refused(tmp_path: Path) -> None:
    shutil.copytree(FORMATS / "1" / "index", tmp_path / "index")
    (log,) = (tmp_path / "index").glob("base-*/changes.log")
    content = log.read_bytes()
    first = 8 + int.from_bytes(content[:4], "little")
    log.write_bytes(content[first:])
    with pytest.raises(IndexDamaged, match=r"changes\.log: misses the changes 3 to 3"):
        EmbeddedIndex.open(tmp_path / "index")
