"""Grades by a teacher: what any system answered is graded, for all of them."""

import numpy as np

from models.evaluation.answers import Answers
from models.evaluation.heldout import HeldOut
from models.evaluation.measures import score
from models.evaluation.teacher_grades import TeacherGrades
from tests.models.evaluation.requests import ROWS, request

#: The shop's order is another than the catalogue's.
PLACES = np.array([3, 2, 1, 0])


class Teacher:
    """Item d (place 0) answers red, and nothing else."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def __call__(self, texts: list[str], query: np.ndarray, item: np.ndarray) -> np.ndarray:
        self.asked += [(texts[row], place) for row, place in zip(query.tolist(), item.tolist(), strict=True)]
        return np.where(item == 0, 0.8, 0.1).astype(np.float32)


def test_answers_of_all_systems_are_graded_once() -> None:
    teacher = Teacher()
    grades = TeacherGrades(teacher, PLACES)
    asked = [request("red", "a"), request("red", "b"), request("", "c", "u", "browse")]
    held_out = HeldOut.number(asked, ROWS, grades)
    every = np.ones(3, dtype=bool)
    one = Answers("one", held_out, np.array([[0, 1], [0, -1], [2, 3]]), every)
    two = Answers("two", held_out, np.array([[3, 1], [3, 0], [2, 3]]), every)
    assert grades.catalogue_grades("red", None) is None
    grades.judge([one, two])
    assert sorted(teacher.asked) == [("red", 0), ("red", 2), ("red", 3)]
    np.testing.assert_allclose(grades.catalogue_grades(" Red ", None), [0.1, 0.1, 0.0, 0.8])
    assert grades.catalogue_grades("red", "p.png") is grades.catalogue_grades("blue", None) is None
    assert score(two).values["Rele@10_p"].tolist()[:2] == [0.1, 0.1]
    assert score(one).values["Rele@10_p"].tolist()[:2] == [0.0, 0.0]
    assert np.isnan(score(one).values["Rele@10_p"][2])
    assert held_out.gains == "teacher"


def test_nothing_to_grade() -> None:
    teacher = Teacher()
    grades = TeacherGrades(teacher, PLACES)
    held_out = HeldOut.number([request("", "c", "u", "browse")], ROWS, grades)
    grades.judge([Answers("one", held_out, np.array([[0]]), np.ones(1, dtype=bool))])
    grades.judge([])
    assert teacher.asked == []
