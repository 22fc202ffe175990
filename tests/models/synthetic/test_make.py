"""The files: deterministic, whole, of the promised size and shape."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from artifacts.shop.check import check_shop
from models.synthetic import make, make_shop

ROOT = Path(__file__).resolve().parents[3]


def digests(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_same_seed_same_bytes_whatever_the_hash_seed(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, models.synthetic as s; "
        "s.make_shop(pathlib.Path(sys.argv[1]), items=200, seed=3)"
    )
    made = []
    for hash_seed in ("1", "2"):
        folder = tmp_path / hash_seed
        subprocess.run(
            [sys.executable, "-c", code, str(folder)],
            check=True,
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONHASHSEED": hash_seed,
                "TZ": "UTC" if hash_seed == "1" else "Asia/Tokyo",
            },
        )
        made.append(digests(folder))
    assert made[0] == made[1]
    assert any(name.endswith(".jpg") for name in made[0])


def test_other_seed_other_shop(tmp_path: Path) -> None:
    for seed in (1, 2):
        make_shop(tmp_path / str(seed), items=100, seed=seed)
    first, second = digests(tmp_path / "1"), digests(tmp_path / "2")
    assert first["items.parquet"] != second["items.parquet"]
    assert first["events.parquet"] != second["events.parquet"]


def test_passes_the_check(shop: Any) -> None:
    assert list(check_shop(shop.path)) == []


def test_sizes(shop: Any) -> None:
    assert len(shop.items) == 1500
    assert 0.9 * 15_000 < len(shop.events) < 1.1 * 15_000
    assert len({item["id"] for item in shop.items}) == 1500


def test_progress_ends_at_its_total(tmp_path: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    make_shop(tmp_path, items=2000, events=500, progress=lambda done, total: calls.append((done, total)))
    dones = [done for done, _ in calls]
    assert dones == sorted(dones)
    assert len(dones) > 2
    assert calls[-1][0] == calls[-1][1]


def test_without_events(tmp_path: Path) -> None:
    make_shop(tmp_path, items=100, events=0)
    assert not (tmp_path / "events.parquet").exists()
    assert [problem.code for problem in check_shop(tmp_path)] == ["no-behaviour"]


@pytest.mark.parametrize("arguments", [{"items": 5}, {"users": 0}, {"events": -1}, {"seed": -1}])
def test_refuses_sizes_out_of_range(tmp_path: Path, arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        make_shop(tmp_path / "shop", **{"items": 100, **arguments})
    assert not (tmp_path / "shop").exists()


def test_times_and_splits(shop: Any) -> None:
    end = datetime(2026, 11, 1, tzinfo=UTC)
    start = end - timedelta(days=90)
    times = [event["ts"] for event in shop.events]
    assert min(times) >= start
    assert max(times) < end + timedelta(hours=1)
    last = {split: max(e["ts"] for e in shop.events if e["split"] == split) for split in ("train", "val")}
    first = {split: min(e["ts"] for e in shop.events if e["split"] == split) for split in ("val", "test")}
    assert last["train"] < first["val"]
    assert last["val"] < first["test"]
    share = sum(e["split"] == "train" for e in shop.events) / len(shop.events)
    assert 0.75 < share < 0.85


def test_the_log_is_by_time_across_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "_CHUNK", 50)
    make_shop(tmp_path, items=200)
    times = pq.read_table(tmp_path / "events.parquet")["ts"].to_pylist()
    assert len(times) > 1500
    assert times == sorted(times)


def test_pictures_are_small_jpegs_and_shared_by_look_alikes(shop: Any) -> None:
    paths = {item["picture"] for item in shop.items if item["picture"]}
    assert 0.9 * len(shop.items) < sum(item["picture"] is not None for item in shop.items) < len(shop.items)
    for relative in sorted(paths)[:50]:
        with Image.open(io.BytesIO((shop.path / "pictures" / relative).read_bytes())) as image:
            assert image.format == "JPEG"
            assert image.width == image.height
            assert 64 <= image.width <= 96


def test_query_pictures_are_no_product_pictures(shop: Any) -> None:
    searched = {event["picture"] for event in shop.events if event["picture"]}
    assert searched
    assert not searched & {item["picture"] for item in shop.items}
    assert all((shop.path / "pictures" / relative).is_file() for relative in searched)
