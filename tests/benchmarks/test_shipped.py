"""What is claimed of the shipped bundle and of its parts."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import parts, shipped
from devtools.reference import model
from models.ablation import Ablation
from models.ablation.matrix import Cell
from models.ablation.summary import CellSummary
from models.evaluation.statistics import Interval


def _gap(slice_: str, low: float, high: float) -> dict[str, Any]:
    own = {"system": "demo-1", "against": "without history", "slice": slice_, "measure": "MRR", "p": 0.5}
    return own | {"value": (low + high) / 2, "low": low, "high": high}


def test_a_history_that_does_harm_by_more_than_chance_is_missed() -> None:
    other = _gap("narrow", -0.3, -0.2) | {"against": "popularity"}
    gaps = [_gap("narrow", -0.02, -0.001), _gap("broad", -0.01, 0.02), other]
    found = shipped.claims({"bundle": "demo-1", "gaps": gaps})
    assert [(claim.name, claim.holds) for claim in found] == [
        ("history's gain, narrow, MRR: upper bound", False),
        ("history's gain, broad, MRR: upper bound", True),
    ]


def test_a_part_that_earns_nothing_is_missed_by_its_name() -> None:
    def summary(name: str, low: float) -> CellSummary:
        gaps = {("text", "R-prec@10"): Interval(low + 0.01, low, low + 0.02)}
        return CellSummary(Cell(name, "parts"), (7,), None, 1, (), {}, gaps)

    found = Ablation([summary("no gate", -0.005), summary("no vbert", 0.01)], [], page=None, ran=0, skipped=2)  # type: ignore[arg-type]
    assert [(claim.name, claim.holds) for claim in parts.claims(found)] == [
        ("full less no gate, R-prec@10: lower bound", False),
        ("full less no vbert, R-prec@10: lower bound", True),
    ]


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (0.001, 0.02, "**+0.010 (+0.001 to +0.020)**"),
        (-0.02, -0.001, "*+0.010 (-0.020 to -0.001)*"),
        (-0.01, 0.02, "+0.010 (-0.010 to +0.020)"),
    ],
)
def test_a_gain_shows_which_way_its_interval_lies(low: float, high: float, told: str) -> None:
    assert model.gain({"value": 0.01, "low": low, "high": high}) == told
