"""Damage, death and a full disk: the short form of ``benchmarks.index_faults``."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.index_faults import corruptions, full, kills, snapshots
from devtools.index_faults import make_index


@pytest.fixture
async def index(tmp_path: Path) -> Path:
    return await make_index(tmp_path)


def test_random_corruptions_are_found_or_harmless(index: Path, tmp_path: Path) -> None:
    verdicts = corruptions(index, tmp_path / "damaged", 60, seed=1)
    assert verdicts["silent"] == 0
    assert verdicts["found"] >= 40


def test_killed_writers_lose_nothing_acknowledged(index: Path) -> None:
    told = kills(index, 2)
    assert told["acknowledged"] > 0
    assert (told["lost"], told["half"]) == (0, 0)


def test_a_full_disk_loses_nothing_acknowledged_and_takes_nothing_refused(index: Path) -> None:
    told = full(index)
    assert min(told["acknowledged"], told["refused"]) > 0
    assert (told["lost"], told["half"], told["taken though refused"]) == (0, 0, 0)


async def test_snapshots_taken_while_it_is_written_hold_what_was_acknowledged(
    index: Path, tmp_path: Path
) -> None:
    told = await snapshots(shutil.copytree(index, tmp_path / "copied"), tmp_path, 2)
    assert told["acknowledged"] > 0
    assert (told["lost"], told["half"]) == (0, 0)
