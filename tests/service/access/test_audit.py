"""The file of changes: nothing acknowledged is missing, and it may be moved away or fill up."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import threading
from pathlib import Path
from typing import Any

import pytest

from service.access.audit import Audit
from service.errors import StartError, Unavailable


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line]


async def test_a_change_is_written_down_before_it_begins_and_when_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = Audit(path, required=True)
    ids = [f"i{n}\n\ud800" + "x" * 500 for n in range(1000)]
    async with audit.change("shop", "remove", ids, request_id="r1"):
        (begun,) = lines(path)
    assert (begun["who"], begun["what"], begun["ids"], begun["outcome"]) == ("shop", "remove", 1000, "begun")
    assert begun["request_id"] == "r1"
    assert len(begun["first"]) == 20
    assert path.stat().st_size < 8192
    with pytest.raises(ValueError, match="no"):
        async with audit.change("shop", "upsert", ["a"]):
            raise ValueError("no")
    async with audit.change("shop", "forget", ["user-4711"], shown=False):
        pass
    assert [line["outcome"] for line in lines(path)] == ["begun", "done", "begun", "failed", "begun", "done"]
    assert "user-4711" not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    await audit.close()


async def test_many_changes_at_once_of_two_workers_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    workers = Audit(path, required=True), Audit(path, required=True)

    async def one(number: int) -> None:
        async with workers[number % 2].change("shop", "update", [f"i{number}"]):
            await asyncio.sleep(0)

    await asyncio.gather(*(one(n) for n in range(200)))
    assert sorted(line["first"][0] for line in lines(path) if line["outcome"] == "done") == sorted(
        f"i{n}" for n in range(200)
    )
    assert len(lines(path)) == 400
    for worker in workers:
        await worker.close()


async def test_a_file_that_is_moved_away_is_begun_anew(tmp_path: Path) -> None:
    path, old = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    audit = Audit(path, required=True)
    async with audit.change("shop", "remove", ["a"]):
        path.rename(old)
    assert [line["outcome"] for line in (*lines(old), *lines(path))] == ["begun", "done"]
    path.unlink()
    async with audit.change("shop", "remove", ["b"]):
        pass
    assert len(lines(path)) == 2
    await audit.close()


async def test_what_cannot_be_audited_is_refused_where_that_is_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, failures = tmp_path / "audit.jsonl", list[int]()
    strict, lax = (Audit(path, required, lambda: failures.append(1)) for required in (True, False))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with strict.change("shop", "remove", ["a"]):
        pass
    size, begun = path.stat().st_size, False
    # The disk is full within the next line. Python ignores SIGXFSZ, so that a write says EFBIG.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
    try:
        with pytest.raises(Unavailable, match="audited"):
            async with strict.change("shop", "remove", ["b"]):
                begun = True
        async with lax.change("shop", "remove", ["c"]):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not begun
    assert len(failures) == 3
    async with strict.change("shop", "remove", ["d"]):
        pass
    whole = [line for line in path.read_bytes().splitlines() if line.endswith(b"}")]
    assert [json.loads(line)["first"] for line in whole] == [["a"], ["a"], ["d"], ["d"]]
    for audit in (strict, lax):
        await audit.close()


async def test_a_disk_that_does_not_answer_holds_no_change_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr("service.access.audit.os.fdatasync", lambda file: answers.wait(60))
    monkeypatch.setattr("service.access.audit._PATIENCE_S", 0.05)
    failures = 0

    def failed() -> None:
        nonlocal failures
        failures += 1

    audit = Audit(tmp_path / "audit.jsonl", required=True, failed=failed)
    with pytest.raises(Unavailable):
        async with audit.change("shop", "remove", ["a"]):
            raise AssertionError("it was changed")
    assert failures == 1
    answers.set()
    monkeypatch.setattr("service.access.audit._PATIENCE_S", 60)
    async with audit.change("shop", "remove", ["b"]):
        pass
    await audit.close()
    assert [line["first"] for line in lines(tmp_path / "audit.jsonl")] == [["a"], ["b"], ["b"]]


def test_a_service_does_not_start_without_the_file_that_it_requires(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # nobody reads it: not waited for
    for path in (tmp_path / "no" / "audit.jsonl", tmp_path, tmp_path / "pipe"):
        with pytest.raises(StartError, match="audit"):
            Audit(path, required=True)
        failures: list[int] = []
        Audit(path, required=False, failed=lambda: failures.append(1))  # noqa: B023 -- called at once
        assert failures == [1]


async def test_without_a_file_the_log_tells(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "mrse.audit")
    async with Audit(None, required=True).change("shop", "remove", ["a"], request_id="r"):
        pass
    (record,) = caplog.records
    said = record.__dict__
    assert (said["who"], said["what"], said["ids"], said["outcome"]) == ("shop", "remove", 1, "done")
