"""What is kept of changes, and what of the folder fed last."""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from index.vespa.feed.ledger import FeedRefused, Ledger
from index.vespa.feed.merged import Change


def test_a_ledger_that_another_makes_just_now_is_waited_for(tmp_path: Path) -> None:
    """SQLite itself does not wait where one changes a file's mode and another writes."""
    path = tmp_path / "item_a.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    with ThreadPoolExecutor(1) as pool:
        opened = pool.submit(Ledger, path)
        assert not wait([opened], 0.1).done
        other.execute("commit")
        with opened.result() as ledger:
            assert ledger.record([Change("remove", "a", 1)])
    other.close()


def test_changes_are_there_for_another_process(tmp_path: Path) -> None:
    with Ledger.of(tmp_path, "item_a") as ledger:
        first = Change("update", "a", 7, {"price": 1.0})
        states = ledger.record(
            [first, Change("update", "a", 8, {"in_stock": True}), Change("remove", "b", 7)]
        )
        assert [state.version for state in states if state] == [7, 8, 7]
        with Ledger.of(tmp_path, "item_a") as other:
            assert other.newer(["a", "b", "c"], 7).keys() == {"a"}
            assert other.newer(["a", "b", "c"], 6).keys() == {"a", "b"}
            assert other.since(0, 6) == (3, {"a", "b"})
            assert other.since(2, 6) == (3, {"b"})
        with Ledger.of(tmp_path, "item_b") as another_type:
            assert another_type.since(0, 0) == (0, set())


def test_a_folder_that_is_fed_ends_older_changes() -> None:
    ledger = Ledger()
    ledger.record([Change("update", "a", 7, {"price": 1.0}), Change("update", "b", 12, {"price": 1.0})])
    assert ledger.begin(10) == 2
    assert ledger.record([Change("remove", "c", 9)]) == [None]
    assert not ledger.complete
    ledger.end(10, refused=["x"])
    assert ledger.complete
    assert ledger.refused == {"x"}
    assert dict(ledger.all_newer(0)).keys() == {"b"}
    with pytest.raises(FeedRefused, match="as of 10 was fed"):
        ledger.begin(9)
    with pytest.raises(FeedRefused, match="after now"):
        ledger.begin(time.time_ns())


def test_a_folder_is_fed_when_all_its_parts_are() -> None:
    ledger = Ledger()
    ledger.begin(10, (1, 2))
    ledger.record([Change("update", "a", 12, {"price": 1.0})])
    assert ledger.begin(10, (2, 2)) == 1
    assert ledger.begin(10, (1, 2)) == 0  # where it was first begun, not where it goes on
    ledger.end(10, (1, 2))
    assert not ledger.complete
    ledger.end(10, (2, 2), ["x"])
    assert ledger.complete
    ledger.begin(11, (1, 2))
    ledger.end(10, (2, 2))
    assert not ledger.complete
