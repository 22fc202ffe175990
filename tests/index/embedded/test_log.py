"""What the log keeps when processes die."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from common.deadline import Deadline
from devtools.embeddings import make_embeddings, unit_vectors
from index.changes import ItemPut
from index.embedded.build import build_index
from index.embedded.frames import frames
from index.embedded.index import EmbeddedIndex
from index.embedded.log import LOG_NAME, read_start
from index.embedded.manifest import IndexDamaged, read_manifest
from index.embedded.note import NOTE_NAME, Place, create_note
from index.embedded.rebuild import rebuild_index
from index.embedded.repair import NothingToRepair, repair
from index.embedded.store import refuse_changes
from index.port import IndexUnavailable

DIM = 16
#: Damages the bytes of a log, whose calls end where the list says.
Damage = Callable[[bytearray, list[int]], None]


WRITER = """
import asyncio, sys
import numpy as np
from pathlib import Path
from common.deadline import Deadline
from index.embedded.index import EmbeddedIndex
from index.changes import ItemPut

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


async def written(folder: Path, calls: int = 6) -> list[int]:
    """Make calls of one or two changes; the log's size before each, and after the last."""
    index = EmbeddedIndex.open(folder)
    ends = [log_of(folder).stat().st_size]
    for number in range(calls):
        puts = [ItemPut(f"new-{number}-{row}", unit_vectors(1, DIM)[0]) for row in range(1 + number % 2)]
        await index.upsert(puts, deadline())
        ends.append(log_of(folder).stat().st_size)
    await index.close()
    return ends


@pytest.mark.parametrize("cut", [0, 1, 60, 64, 200, 1000, -1])
async def test_a_log_cut_anywhere_is_refused(folder: Path, cut: int) -> None:
    await written(folder)
    log = log_of(folder)
    content = log.read_bytes()
    log.write_bytes(content[:cut])
    with pytest.raises(IndexDamaged, match=r"changes\.log: .*mrse index repair"):
        EmbeddedIndex.open(folder)
    assert log.read_bytes() == content[:cut]  # nothing was cut off


def _length(content: bytearray, ends: list[int]) -> None:
    content[ends[2] + 4] ^= 0x40


def _count(content: bytearray, ends: list[int]) -> None:
    content[ends[2] + 16] ^= 1


def _number(content: bytearray, ends: list[int]) -> None:
    content[ends[2] + 8] ^= 1


def _gap(content: bytearray, ends: list[int]) -> None:
    del content[ends[2] : ends[3]]


def _last_gone(content: bytearray, ends: list[int]) -> None:
    del content[ends[-2] :]


def _zeros(content: bytearray, ends: list[int]) -> None:
    content[ends[2] : ends[2] + 512] = bytes(512)


def _zero_end(content: bytearray, ends: list[int]) -> None:
    content[ends[3] :] = bytes(len(content) - ends[3])


def _twice(content: bytearray, ends: list[int]) -> None:
    content[ends[3] : ends[3]] = content[ends[2] : ends[3]]


def _swapped(content: bytearray, ends: list[int]) -> None:
    first, second = content[ends[1] : ends[2]], content[ends[2] : ends[3]]
    content[ends[1] : ends[3]] = second + first


def _header(content: bytearray, ends: list[int]) -> None:
    content[50] ^= 1


def _all(content: bytearray, ends: list[int]) -> None:
    content.clear()


@pytest.mark.parametrize(
    "damage",
    [
        _length,
        _count,
        _number,
        _gap,
        _last_gone,
        _zeros,
        _zero_end,
        _twice,
        _swapped,
        _header,
        _all,
    ],
)
async def test_a_damaged_log_is_refused_and_kept(folder: Path, damage: Damage) -> None:
    ends = await written(folder)
    log = log_of(folder)
    content = bytearray(log.read_bytes())
    damage(content, ends)
    log.write_bytes(content)
    for _ in range(2):
        with pytest.raises(IndexDamaged, match=r"changes\.log: .*mrse index repair"):
            EmbeddedIndex.open(folder)
        with pytest.raises(IndexDamaged, match=r"changes\.log"):
            refuse_changes(folder)
        with pytest.raises(IndexDamaged, match=r"changes\.log"):
            rebuild_index(folder)
    assert log.read_bytes() == content

    repaired = repair(folder)
    assert (repaired.aside / LOG_NAME).read_bytes() == content
    index = EmbeddedIndex.open(folder)
    assert (await index.stats()).items == 50 + repaired.kept
    assert repaired.lost is not None
    assert repaired.kept + repaired.lost == 9
    if damage in (_length, _count, _number):  # those behind the damaged call are taken
        assert repaired.lost == 1
    await index.upsert([ItemPut("after", unit_vectors(1, DIM)[0])], deadline())
    await index.close()
    with pytest.raises(NothingToRepair):
        repair(folder)


@pytest.mark.parametrize("name", [LOG_NAME, NOTE_NAME])
async def test_a_log_or_note_that_is_missing_is_refused(folder: Path, name: str) -> None:
    await written(folder)
    (log_of(folder).parent / name).unlink()
    with pytest.raises(IndexDamaged, match="is missing"):
        EmbeddedIndex.open(folder)
    assert not (log_of(folder).parent / name).exists()
    repaired = repair(folder)
    assert (repaired.kept, repaired.lost) == ((0, 9) if name == LOG_NAME else (9, None))
    index = EmbeddedIndex.open(folder)
    assert (await index.stats()).items == 50 + repaired.kept
    await index.close()


def unfinished(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.glob("quarantine/*/unfinished")]


async def test_what_was_not_acknowledged_is_moved_aside(folder: Path) -> None:
    ends = await written(folder)
    log = log_of(folder)
    content = log.read_bytes()
    # A process that died while it wrote: half of a frame behind the acknowledged ones.
    log.write_bytes(content + content[ends[-2] : -10])
    index = EmbeddedIndex.open(folder)
    assert (await index.stats()).items == 50 + 9
    assert log.read_bytes() == content
    assert unfinished(folder) == [content[ends[-2] : -10]]
    # And while another has it open: its next change goes behind the acknowledged ones.
    log.write_bytes(content + b"x" * 100)
    assert index.revision is not None  # what is not acknowledged keeps nobody from the caches
    await index.upsert([ItemPut("after", unit_vectors(1, DIM)[0])], deadline())
    await index.close()
    again = EmbeddedIndex.open(folder)
    assert (await again.stats()).items == 50 + 10
    await again.close()


async def test_a_note_behind_the_log_loses_nothing(folder: Path) -> None:
    """After a power failure the note may tell of less than was acknowledged."""
    note = log_of(folder).parent / NOTE_NAME
    before = note.read_bytes()
    await written(folder)
    note.write_bytes(before)
    index = EmbeddedIndex.open(folder)
    assert (await index.stats()).items == 50 + 9
    assert note.read_bytes() != before
    await index.close()


@pytest.mark.parametrize("slot", [0, 512])
async def test_a_note_with_one_damaged_slot_is_harmless(folder: Path, slot: int) -> None:
    await written(folder)
    note = log_of(folder).parent / NOTE_NAME
    content = bytearray(note.read_bytes())
    content[slot + 9] ^= 1
    note.write_bytes(content)
    index = EmbeddedIndex.open(folder)
    assert (await index.stats()).items == 50 + 9
    await index.close()


async def test_a_log_damaged_while_it_is_open_takes_no_change_and_answers_go_on(folder: Path) -> None:
    await written(folder)
    index, other = EmbeddedIndex.open(folder), EmbeddedIndex.open(folder)
    log = log_of(folder)
    content = log.read_bytes()
    log.write_bytes(content[:-5])
    with pytest.raises(IndexUnavailable, match=r"damaged: .*changes\.log"):
        await index.remove(["item-1"], deadline())
    assert log.read_bytes() == content[:-5]
    for each in (index, other):
        (found,) = await each.search(unit_vectors(1, DIM), 100, None, deadline())
        assert len(found.ids) == 50 + 9
    assert repair(folder).lost == 2  # the last call made two
    assert (await index.remove(["item-1"], deadline())).written == 1
    for each in (index, other):
        assert (await each.stats()).items == 49 + 7
        await each.close()


async def test_a_call_is_taken_whole_or_not_at_all(folder: Path) -> None:
    ends = await written(folder, calls=2)  # the last of two changes
    log, note = log_of(folder), log_of(folder).parent / NOTE_NAME
    content, acknowledged = log.read_bytes(), note.read_bytes()
    for cut in range(ends[-2], ends[-1], 29):
        log.write_bytes(content[:cut])
        create_note(note, *_place(folder, content, ends[-2]))
        index = EmbeddedIndex.open(folder, verify=False)
        assert (await index.stats()).items == 51
        await index.close()
    note.write_bytes(acknowledged)


def _place(folder: Path, content: bytes, end: int) -> tuple[bytes, Place]:
    manifest = read_manifest(folder)
    identity, place = read_start(log_of(folder), manifest.index_version, manifest.sequence)
    for frame in frames(content[place.offset : end], place, identity):
        place = frame.after
    return identity, place
