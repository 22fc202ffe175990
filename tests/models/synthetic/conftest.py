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
    #: Ground truth by the id of the item and of the user.
    truth: dict[str, Row]
    users: dict[str, Row]


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Made:
    path = tmp_path_factory.mktemp("synthetic")
    make_shop(path, items=1500, seed=7)
    names = ("items", "events", "queries", "truth", "users")
    items, events, queries, truth, users = (
        pq.read_table(path / f"{name}.parquet").to_pylist() for name in names
    )
    return Made(
        path,
        Judge.open(path),
        items,
        events,
        queries,
        {row["id"]: row for row in truth},
        {row["user"]: row for row in users},
    )


def relevance(judge: Judge, query: str, item: str, picture: str | None = None) -> float:
    return float(judge.all_relevances(query, picture)[judge.rows([item])[0]])
