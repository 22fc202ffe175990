import numpy as np

from models.evaluation.answers import GRADED, Answers, find_ranks
from models.evaluation.heldout import HeldOut
from tests.models.evaluation.requests import ROWS, Graded, request


def test_find_ranks() -> None:
    top = np.array([[5, 3, 9], [1, 2, 3], [7, 7, 7]])
    assert find_ranks(top, np.array([9, 4, 7])).tolist() == [3, 0, 1]
    # Photos of products: the first one of the product counts.
    products = np.array(["apple", "pear", "apple", "plum"])[[[1, 2, 0], [3, 1, 0], [0, 2, 3]]]
    assert find_ranks(products, np.array(["apple", "plum", "pear"])).tolist() == [2, 1, 0]


def test_what_is_known_of_each_answer() -> None:
    requests = [request("red", "b"), request("blue", "c"), request("red", "d")]
    held_out = HeldOut.number(requests, ROWS, Graded())
    top = np.array([[1, 0, -1], [2, 1, 0], [0, 3, 2]])
    answers = Answers("ours", held_out, top, np.ones(3, dtype=bool))
    assert answers.ranks.tolist() == [1, 1, 2]
    # Both items that were clicked for red count in both requests for it.
    assert answers.clicked.tolist() == [[True, False, False], [True, False, False], [False, True, False]]
    assert answers.clicks.tolist() == [2, 1, 2]
    np.testing.assert_allclose(answers.grades, [[0.5, 1, 0], [np.nan] * 3, [1, 0, 0.1]], atol=1e-7)
    assert answers.best_grades.shape == (3, GRADED)
    assert sorted(answers.best_grades[0].tolist())[-4:] == [0.0, np.float32(0.1), 0.5, 1.0]
