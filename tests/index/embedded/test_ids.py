"""The table of ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from index.embedded import ids
from index.embedded.ids import IdTable, write_ids


def test_ids_whose_hashes_collide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "hashes", lambda names: np.array([len(name) for name in names], np.uint64))
    write_ids(tmp_path / "ids", pa.array(["aa", "b", "cc", "dd", "e"]))
    table = IdTable.open(tmp_path / "ids")
    known, rows = table.find(["dd", "xx", "aa", "e", "b", "fff", "cc", ""])
    assert known == ["dd", "aa", "e", "b", "cc"]
    assert rows.tolist() == [3, 0, 4, 1, 2]
    with pytest.raises(ValueError, match="id 'b' is in row 0 and in row 2"):
        write_ids(tmp_path / "ids", pa.array(["b", "aa", "b"]))


@pytest.mark.parametrize("named", [100, 99])
def test_ids_and_rows_are_remembered_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: int
) -> None:
    monkeypatch.setattr(ids, "HOT", 30)
    monkeypatch.setattr(ids, "NAMED", named)
    names = [f"item-{row}" for row in range(99)] + [""]
    write_ids(tmp_path / "ids", pa.array(names))
    table = IdTable.open(tmp_path / "ids")
    draw = np.random.default_rng(2)
    for count in (0, 1, 5, 20, 31, 100, 20, 5, 3):  # also more than are remembered
        rows = draw.integers(0, 100, count)
        given = table.ids(rows)
        assert given == [names[row] for row in rows]
        assert [type(name) for name in given] == [str] * count
        known, found = table.find([*given, "unknown"])
        assert known == given
        assert found.tolist() == rows.tolist()
        assert found.dtype == np.int64
    one, same = table.ids(np.array([7, 8])), table.ids(np.array([8, 7]))
    assert (one[0] is same[1]) == (named == 100), "answers that are kept share their strings"
