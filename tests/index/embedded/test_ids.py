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
