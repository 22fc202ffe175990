"""Curves: what a score is worth, and the file of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.recall.calibration import (
    BUILT_IN,
    Calibration,
    CalibrationError,
    Curve,
    beside,
    calibration_of,
    carry,
)

KNEE = Curve(points=((0.0, 0.0), (0.5, 0.1), (1.0, 0.6)))


@given(st.floats(-5, 5), st.floats(-5, 5))
def test_a_better_score_is_never_worth_less(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0.0 <= KNEE.worth(low) <= KNEE.worth(high) <= 0.6


@pytest.mark.parametrize(
    ("score", "worth"), [(-1, 0.0), (0.0, 0.0), (0.25, 0.05), (0.5, 0.1), (0.75, 0.35), (1.0, 0.6), (9, 0.6)]
)
def test_a_curve_is_a_line_through_its_points(score: float, worth: float) -> None:
    assert KNEE.worth(score) == pytest.approx(worth)


@pytest.mark.parametrize(
    "points", [[], [(0, 0)], [(0, 0), (0, 1)], [(1, 0), (0, 1)], [(0, 1), (1, 0)], [(0, 0), (1, 5)]]
)
def test_a_curve_that_falls_or_goes_back_is_refused(points: list[tuple[float, float]]) -> None:
    with pytest.raises(ValidationError):
        Curve(points=points)


def test_without_a_file_the_built_in_curves_count(tmp_path: Path) -> None:
    assert calibration_of(tmp_path / "index", "demo-1") is BUILT_IN
    assert BUILT_IN.version == "built-in"


def test_what_was_written_is_read(tmp_path: Path) -> None:
    made = Calibration(bundle="demo-1", curves={"lexical": KNEE}, fitted={"requests": 9})
    made.write(beside(tmp_path / "index"))
    read = calibration_of(tmp_path / "index", "demo-1")
    assert read == made
    assert read.version == made.version != Calibration(bundle="demo-1", curves={}).version


def test_a_picture_beside_words_has_a_curve_of_its_own_or_none() -> None:
    alone, beside_words = KNEE, Curve(points=((0.0, 0.0), (1.0, 0.2)))
    one = Calibration(bundle="demo-1", curves={"lexical": KNEE, "p2i": alone})
    assert one.of(words=False).curves == {"lexical": KNEE, "p2i": alone}
    assert one.of(words=True).curves == {"lexical": KNEE}
    both = Calibration(bundle="demo-1", curves={**one.curves, "p2i+text": beside_words})
    assert both.of(words=False).curves["p2i"] == alone
    assert both.of(words=True).curves == {"lexical": KNEE, "p2i": beside_words}
    assert BUILT_IN.of(words=True) is BUILT_IN


def test_the_next_index_of_a_bundle_keeps_what_was_fitted_for_the_one_before(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    assert not carry(before, after)
    assert calibration_of(after, "demo-1") is BUILT_IN
    made = Calibration(bundle="demo-1", curves={"lexical": KNEE})
    made.write(beside(before))
    assert carry(before, after)
    assert calibration_of(after, "demo-1") == made
    beside(before).write_text("{")
    assert not carry(before, tmp_path / "other")
    assert not beside(tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "calibration"),
        ("[]", "valid dictionary"),
        ('{"format": 2}', "format 2, and this version reads up to 1"),
        ('{"bundle": "demo-1", "curves": {"lexical": {"points": [[1, 0], [0, 1]]}}}', "curves.lexical"),
        ('{"bundle": "demo-1", "extra": 1}', "extra"),
        ('{"bundle": "demo-2"}', "fitted with bundle demo-2"),
        (json.dumps({"bundle": "x" * 70_000}), "bytes"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_says_why(tmp_path: Path, content: str, said: str) -> None:
    beside(tmp_path / "index").write_text(content)
    with pytest.raises(CalibrationError, match=said) as raised:
        calibration_of(tmp_path / "index", "demo-1")
    assert "index.calibration" in str(raised.value)
