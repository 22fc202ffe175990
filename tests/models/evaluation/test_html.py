import numpy as np

from models.evaluation.html import curves, intervals, picture, table
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


def test_a_picture_stands_in_the_page_itself() -> None:
    assert picture(np.zeros((8, 8, 3), dtype=np.uint8)).startswith("data:image/jpeg;base64,/9j/")
