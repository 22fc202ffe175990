"""Curves of a run: how soon they come to their end."""

import math
from pathlib import Path

import pytest

from models.evaluation.losses import read_losses, steps_to


def test_the_step_at_which_most_of_the_way_is_done() -> None:
    falls = [(10.0 * step, 1 + 2 * 0.8**step) for step in range(60)]
    # 0.8 to the power of 13.4 is 0.05.
    assert steps_to(falls) == pytest.approx(135, abs=15)
    rises = [(step, -value) for step, value in falls]
    assert steps_to(rises) == steps_to(falls)
    # One lucky point is no arrival.
    lucky = [*falls[:3], (30.0, 0.9), *falls[4:]]
    assert steps_to(lucky) == pytest.approx(steps_to(falls), abs=20)
    assert steps_to(falls, 0.5) < steps_to(falls, 0.9)


def test_too_few_points_and_flat_curves() -> None:
    assert math.isnan(steps_to([(0.0, 1.0)] * 9))
    assert steps_to([(float(step), 2.0) for step in range(20)]) == 0.0


def test_columns_are_read_by_name(tmp_path: Path) -> None:
    (tmp_path / "stage2.csv").write_text("step,loss,hnst_share\n0,2,0\n10,1,0.3\n")
    assert read_losses(tmp_path, "stage2", "hnst_share") == [(0.0, 0.0), (10.0, 0.3)]
    assert read_losses(tmp_path, "stage2", "beta") == read_losses(tmp_path, "stage1", "loss") == []
