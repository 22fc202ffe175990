"""Candidates as columns: what a list of them would be, without making each."""

from __future__ import annotations

import pytest

from service.recall.routes.outcome import Candidate, CandidateColumns, Source, columns_of, values_of

SOURCES: list[Source] = [{"route": "q2i", "rank": rank, "score": 0.9 / rank} for rank in (1, 2, 3)]
COLUMNS = CandidateColumns(["a", "b", "a"], [0.9, 0.5, 0.3], SOURCES)
LISTED = [
    Candidate("a", 0.9, SOURCES[0]),
    Candidate("b", 0.5, SOURCES[1]),
    Candidate("a", 0.3, SOURCES[2]),
]


def test_columns_are_a_sequence_of_candidates() -> None:
    assert len(COLUMNS) == 3
    assert list(COLUMNS) == LISTED
    assert [type(each) for each in COLUMNS] == [Candidate] * 3
    assert COLUMNS[1] == LISTED[1]
    assert COLUMNS[-1].source is SOURCES[2]
    assert list(COLUMNS[1:]) == LISTED[1:]
    assert Candidate("b", 0.5, SOURCES[1]) in COLUMNS
    with pytest.raises(IndexError):
        COLUMNS[3]


def test_columns_equal_what_holds_the_same() -> None:
    assert COLUMNS == LISTED
    assert COLUMNS[:2] == LISTED[:2]
    assert LISTED[:2] != COLUMNS
    assert repr(COLUMNS) == repr(LISTED)
    assert not CandidateColumns([], [], [])


def test_rows_and_values_are_the_same_of_both_forms() -> None:
    assert list(columns_of(COLUMNS)) == [tuple(each) for each in columns_of(LISTED)]
    assert values_of(COLUMNS) == values_of(LISTED) == {"a": 0.3, "b": 0.5}
