"""What a killed feed goes on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from index.vespa.feed.journal import Journal, JournalMismatch, JournalTaken, alone


def test_a_journal_keeps_what_is_settled(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    journal = Journal.open(path, "source", 7)
    for number in (0, 1, 3, 4):
        journal.settle(number, failed=number == 1)
    journal.save()
    again = Journal.open(path, "source", 8)
    assert (again.low, again.feed_ver) == (2, 7)
    assert again.count_settled() == 1
    assert [again.settled(number) for number in range(5)] == [True, False, False, False, False]
    again.settle(1)
    again.settle(2)
    assert again.settled(1)
    another = Journal.open(path, "another", 9)  # what failed last night does not hold up the next night
    assert (another.replaces, another.low, another.feed_ver) == ("source", 0, 9)
    again.finish()
    assert Journal.open(path, "another", 9).low == 0
    path.write_bytes(b"{")
    with pytest.raises(JournalMismatch):
        Journal.open(path, "source", 7)


def test_a_journal_has_one_feeder(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    with alone(path), pytest.raises(JournalTaken, match="another feed"), alone(path):
        pass
    with alone(path):
        assert not path.exists()
