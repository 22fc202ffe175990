import numpy as np

from models.evaluation.html import curves, intervals, picture, table, ticks
from models.evaluation.statistics import UNKNOWN, Interval


def bar(label: str) -> tuple[str, Interval]:
    return label, Interval(0.5, 0.4, 0.6)


def test_what_users_wrote_is_escaped() -> None:
    assert "<script>" not in intervals([bar("<script>")])
    assert "<script>" not in table(["<script>"], [])
    assert "<script>" not in curves({"<script>": [(0, Interval(1, 0, 2))]}, "<script>", "<script>")


def test_drawings_of_nothing_and_of_one_point() -> None:
    assert "svg" not in curves({"a": [(1, UNKNOWN)]}, "x", "y")
    assert "svg" not in intervals([])
    assert "nan" not in curves({"a": [(1, Interval(0.5, float("nan"), float("nan")))]}, "x", "y")
    assert "nan" not in intervals([bar("a"), bar("b")], zero=True)


def test_axes_have_round_marks_within_what_is_drawn() -> None:
    assert ticks(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(-0.013, 0.021) == [-0.01, 0.0, 0.01, 0.02]
    assert ticks(3, 28) == [5.0, 10.0, 15.0, 20.0, 25.0]
    for low, high in ((0.3, 0.3 + 1e-6), (-1e9, 2e9), (0, 7), (0.0, 3e-300)):
        marks = ticks(low, high)
        assert 3 <= len(marks) <= 7, (low, high)
        assert low - 1e-9 * (high - low) <= marks[0] < marks[-1] <= high + 1e-9 * (high - low)
    drawn = intervals([bar("a"), ("b", Interval(0.9, 0.8, 1.0))])
    assert all(f">{mark}<" in drawn for mark in ("0", "0.2", "1"))
    drawn = curves({"a": [(0, Interval(0, 0, 0)), (1, Interval(1, 1, 1))]}, "x", "y")
    assert all(f">{mark}<" in drawn for mark in ("0", "0.4", "1"))


def test_a_picture_stands_in_the_page_itself() -> None:
    assert picture(np.zeros((8, 8, 3), dtype=np.uint8)).startswith("data:image/jpeg;base64,/9j/")
