"""A base takes another's place while others read and write."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

from common.deadline import Deadline
from devtools.embeddings import make_embeddings
from index.changes import ItemPut
from index.embedded import live, rebuild
from index.embedded.build import build_index
from index.embedded.index import EmbeddedIndex
from index.embedded.rebuild import RebuildFailed, RebuildRunning, rebuild_index, run_rebuild
from index.embedded.store import rebuild_lock

DIM = 16


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_embeddings(tmp_path / "e", rows=50, dim=DIM, expert_dim=8)
    build_index(tmp_path / "e", tmp_path / "index")
    return tmp_path / "index"


def deadline() -> Deadline:
    return Deadline.after(60)


def bases(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(("base-", ".new-")))


async def test_one_rebuild_at_a_time(folder: Path) -> None:
    index = EmbeddedIndex.open(folder)
    await index.remove(["item-1"], deadline())
    with rebuild_lock(folder), pytest.raises(RebuildRunning):
        await index.rebuild()
    before = index.manifest
    after = await index.rebuild()
    assert (before.rows, after.rows) == (50, 49)
    assert bases(folder) == [after.folder]
    assert await index.rebuild() == after
    await index.close()


async def test_changes_and_searches_go_on_while_it_is_rebuilt(folder: Path) -> None:
    """Every answer is whole, and every acknowledged change is in the next answer, across the swaps."""
    index, reader = EmbeddedIndex.open(folder), EmbeddedIndex.open(folder)
    probe = np.eye(DIM, dtype=np.float32)[3]
    done = threading.Event()
    written = searched = 0

    async def write() -> None:
        nonlocal written
        while not done.is_set():
            await index.upsert([ItemPut(f"new-{written}", probe)], deadline())
            written += 1
            (found,) = await reader.search(probe[None, :], 10_000, None, deadline())
            assert len(found.ids) == len(set(found.ids)) == 50 + written

    async def search() -> None:
        nonlocal searched
        while not done.is_set():
            before = written
            (found,) = await reader.search(probe[None, :], 10_000, None, deadline())
            assert len(found.ids) >= 50 + before
            searched += 1

    def rebuild() -> None:
        end = time.monotonic() + 60
        for _ in range(5):
            target = written + 3
            while written < target and time.monotonic() < end:
                time.sleep(0.001)
            rebuild_index(folder)
        done.set()

    await asyncio.gather(write(), search(), asyncio.to_thread(rebuild))
    assert reader.manifest.sequence > 0
    assert (await reader.stats()).items == 50 + written
    assert searched > 0
    await index.close()
    await reader.close()


async def test_what_the_base_before_and_its_changes_took_is_given_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_FREED_S", 3600.0)  # it is seen to wait
    index = EmbeddedIndex.open(folder)
    await index.upsert([ItemPut("new", np.eye(DIM, dtype=np.float32)[3])], deadline())
    before = weakref.ref(index._live.state)
    gc.disable()
    try:
        rebuild_index(folder)
        await index.search(np.ones((1, DIM), dtype=np.float32), 1, None, deadline())
        assert before() is None  # at once, without the collector, which seldom looks
    finally:
        gc.enable()
    timers = (each for each in threading.enumerate() if isinstance(each, threading.Timer))
    waiting = [each for each in timers if each.interval == 3600.0]
    assert [each.name for each in waiting] == ["give-memory-back"]
    waiting[0].cancel()
    waiting[0].join()
    await index.close()


@pytest.mark.parametrize("due", [{"rebuild_after": 3}, {"rebuild_after": 99, "rebuild_after_bytes": 130}])
async def test_a_rebuild_starts_by_itself_when_it_is_due(folder: Path, due: dict[str, int]) -> None:
    index = EmbeddedIndex.open(folder, **due)  # type: ignore[arg-type]
    await index.remove(["item-1", "item-2"], deadline())
    assert index.manifest.rows == 50
    assert 65 < index._live.state.changed_bytes < 130
    await index.remove(["item-3"], deadline())
    assert index._live.state.changed_bytes >= 130 or index.manifest.rows < 50
    async with asyncio.timeout(60):
        while index.manifest.rows == 50:
            await asyncio.sleep(0.01)
            await index.stats()
    assert index.manifest.rows == 47
    await index.close()


async def test_a_rebuild_that_does_not_end_is_ended_and_the_index_is_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bases(folder)
    monkeypatch.setattr(rebuild, "LONGEST_S", 0.0)
    with pytest.raises(RebuildFailed, match="was not rebuilt within 0 s, and serves as it was"):
        await run_rebuild(folder)
    with rebuild_lock(folder):  # nobody holds it
        assert bases(folder) == before


async def test_a_rebuild_that_a_signal_ends_says_so(folder: Path, tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", str(killed))
        with pytest.raises(RebuildFailed, match="its process ended with -9"):
            await run_rebuild(folder)


async def test_memory_is_given_back_when_the_last_search_lets_the_base_before_go(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []
    monkeypatch.setattr(live, "give_back_after", given.append)
    index = EmbeddedIndex.open(folder)
    await index.remove(["item-1"], deadline())
    held = index._live.state
    gc.disable()  # what held it in a cycle would hold it for minutes
    try:
        await index.rebuild()
        assert index._live.state is not held
        assert not given
        del held
        assert len(given) == 1
    finally:
        gc.enable()
    await index.close()
