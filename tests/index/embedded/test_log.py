"""What the log keeps when processes die."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.deadline import Deadline
from devtools.embeddings import make_embeddings, unit_vectors
from index.embedded.build import build_index
from index.embedded.index import EmbeddedIndex
from index.embedded.manifest import IndexDamaged, read_manifest
from index.embedded.store import LOG_NAME
from index.port import ItemPut

DIM = 16


WRITER = """
import asyncio, sys
import numpy as np
from pathlib import Path
from common.deadline import Deadline
from index.embedded.index import EmbeddedIndex
from index.port import ItemPut

async def main():
    index = EmbeddedIndex.open(Path(sys.argv[1]))
    vectors = np.eye(16, dtype=np.float32)
    async def one(number):
        await index.upsert([ItemPut(f"new-{number}", vectors[number % 16])], Deadline.after(60))
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()
    for start in range(0, 10_000_000, 100):
        await asyncio.gather(*(one(start + n) for n in range(100)))

asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_embeddings(tmp_path / "e", rows=50, dim=DIM, expert_dim=8)
    build_index(tmp_path / "e", tmp_path / "index")
    return tmp_path / "index"


def deadline() -> Deadline:
    return Deadline.after(60)


def log_of(folder: Path) -> Path:
    return folder / read_manifest(folder).folder / LOG_NAME


@pytest.mark.slow
def test_kill_9_loses_nothing_acknowledged(folder: Path) -> None:
    """Killed once it has acknowledged 10,000 writes, in the middle of the next."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", WRITER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(10_000)]
        writer.send_signal(signal.SIGKILL)
        acknowledged += [
            int(line) for line in writer.stdout.read().splitlines(keepends=True) if line[-1] == "\n"
        ]

    async def check() -> None:
        index = EmbeddedIndex.open(folder)
        ids = [f"new-{number}" for number in acknowledged]
        stored = await index.vectors(ids, deadline())
        assert stored.ids == ids
        # The next write goes behind what the dead one left, and is there after another start.
        await index.upsert([ItemPut("after", unit_vectors(1, DIM)[0])], deadline())
        items = (await index.stats()).items
        await index.close()
        again = EmbeddedIndex.open(folder)
        assert (await again.stats()).items == items
        assert (await again.vectors(["after"], deadline())).ids == ["after"]
        await again.close()

    asyncio.run(check())


async def test_a_log_cut_anywhere_keeps_what_is_whole(folder: Path) -> None:
    index = EmbeddedIndex.open(folder)
    ends = [0]
    for number in range(4):
        await index.upsert([ItemPut(f"new-{number}", unit_vectors(1, DIM)[0])], deadline())
        ends.append(log_of(folder).stat().st_size)
    await index.remove(["item-1"], deadline())
    content = log_of(folder).read_bytes()
    await index.close()
    for cut in range(len(content), -1, -7):
        log_of(folder).write_bytes(content[:cut])
        whole = sum(end <= cut for end in ends[1:])
        removed = cut == len(content)
        opened = EmbeddedIndex.open(folder, verify=False)
        assert (await opened.stats()).items == 50 + whole - removed
        await opened.remove(["item-2"], deadline())
        await opened.close()
        again = EmbeddedIndex.open(folder, verify=False)
        assert (await again.stats()).items == 49 + whole - removed
        await again.close()


async def test_a_log_that_rotted_is_refused_rather_than_cut(folder: Path) -> None:
    index = EmbeddedIndex.open(folder)
    for number in range(3):
        await index.upsert([ItemPut(f"new-{number}", unit_vectors(1, DIM)[0])], deadline())
    await index.close()
    content = bytearray(log_of(folder).read_bytes())
    content[20] ^= 1
    log_of(folder).write_bytes(content)
    with pytest.raises(IndexDamaged, match=r"changes\.log: has a damaged record at byte 0"):
        EmbeddedIndex.open(folder)
