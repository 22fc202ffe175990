from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from models.synthetic import Judge, make_shop

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Made:
    path: Path
    judge: Judge
    items: list[Row]
    events: list[Row]
    queries: list[Row]


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Made:
    path = tmp_path_factory.mktemp("synthetic")
    make_shop(path, items=1500, seed=7)
    tables = [pq.read_table(path / f"{name}.parquet").to_pylist() for name in ("items", "events", "queries")]
    return Made(path, Judge.open(path), *tables)
