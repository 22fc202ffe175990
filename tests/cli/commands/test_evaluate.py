"""The table of ``mrse evaluate``: whole at 80 characters, without columns that nothing has."""

from __future__ import annotations

import io
import math
from types import SimpleNamespace

import pytest
from rich.console import Console

from cli.commands import evaluate
from models.evaluation.evaluate import Row
from models.evaluation.measures import shown
from models.evaluation.statistics import Interval

SYSTEMS = (
    "demo-674e2c18",
    "without history",
    "bm25",
    "ceiling: grade",
    "ceiling: grade, popularity",
    "ceiling: grade, popularity, taste",
)


def test_the_table_is_whole_at_80_characters_and_leaves_empty_columns_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measures, empty = shown(), shown()[-1]

    def figure(measure: str) -> Interval:
        return Interval(math.nan, math.nan, math.nan) if measure == empty else Interval(0.443, 0.39, 0.49)

    rows = tuple(
        Row(name, system, 451 if system == "bm25" else 10_467, {m: figure(m) for m in measures})
        for name in ("all", "text+photo")
        for system in SYSTEMS
    )
    result = SimpleNamespace(shop="synthetic", split="val", rows=rows, systems=SYSTEMS)
    console = Console(width=80, file=io.StringIO(), markup=False)
    monkeypatch.setattr(evaluate, "out", console)
    evaluate._table(result, ["all", "text+photo", "browse"], measures)  # type: ignore[arg-type]
    written: str = console.file.getvalue()  # type: ignore[attr-defined]
    lines = [line.strip() for line in written.splitlines()]
    assert max(map(len, written.splitlines())) <= 80
    assert "…" not in written
    assert written.count("0.443") == 2 * len(SYSTEMS) * (len(measures) - 1)
    assert written.count("±.050") == 2 * (len(measures) - 1), "intervals of the bundle alone"
    for whole in ("all: 10,467", "text+photo: 10,467", "without history", "bm25 (451)", "+ taste"):
        assert any(line.startswith(whole) for line in lines), whole
    assert empty.partition("@")[0] not in written
