import math
from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest

from artifacts.shop.schema import Event
from models.evaluation.heldout import Request
from models.evaluation.measure import MEASURES, Asked, score
from models.evaluation.slices import bands

ROWS = {name: row for row, name in enumerate("abcd")}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Graded:
    """Item a answers "red" wholly, b half; nothing is known of "blue"."""

    source = "judge"

    def of(self, query: str, picture: str | None) -> np.ndarray | None:
        return np.array([1.0, 0.5, 0.1, 0.0], dtype=np.float32) if query == "red" else None


def request(query: str, item: str, user: str | None = None, kind: str = "text") -> Request:
    return Request(kind, Event(NOW, item, "click", query, user), ())  # type: ignore[arg-type]


def test_requests_are_numbered_by_what_was_asked() -> None:
    asked = Asked.of(
        [
            request("Red", "a"),
            request("red ", "b"),
            request("blue", "z"),
            request("", "a", "u1", "browse"),
            request("", "a", "u2", "browse"),
        ],
        ROWS,
        None,
    )
    assert asked.query.tolist() == [0, 0, 1, 2]
    assert asked.wanted.tolist() == [0, 1, 0, 0]
    assert (asked.queries, asked.gains) == (3, "clicks")


def test_every_measure_by_hand() -> None:
    grades = Graded()
    asked = Asked.of([request("red", "b"), request("red", "d"), request("blue", "c")], ROWS, grades)
    top = np.array([[1, 0, 2], [2, 3, 0], [0, 1, -1]])
    answers = score("ours", asked, top, grades, answered=np.ones(3, dtype=bool))
    everything = np.ones(3, dtype=bool)
    value = {m: answers.sums(m, asked, everything).value for m in MEASURES}
    assert value["Recall@10"] == pytest.approx(2 / 3)
    assert value["MRR"] == pytest.approx((1 + 1 / 2 + 0) / 3)
    # Of the first answer a and b are relevant, of the second a; ten places are asked for, three are filled.
    assert value["Rele@10_p"] == pytest.approx((0.2 + 0.1) / 2)
    assert value["Rele@100_p"] == pytest.approx((0.02 + 0.01) / 2)
    best = 1 + 0.5 / math.log2(3) + 0.1 / 2
    first = 0.5 + 1 / math.log2(3) + 0.1 / 2
    second = 0.1 + 0 + 1 / 2
    assert value["nDCG@10"] == pytest.approx((first + second) / 2 / best)
    assert answers.sums("Rele@10_p", asked, everything).below.tolist() == [1, 0]
    assert answers.sums("Rele@10_p_w", asked, everything).below.tolist() == [2, 0]


def test_without_grades_clicks_are_the_gains() -> None:
    asked = Asked.of([request("red", "b"), request("red", "d")], ROWS, None)
    answers = score("ours", asked, np.array([[0, 1, 2], [0, 1, 2]]), None, answered=np.ones(2, dtype=bool))
    assert np.isnan(answers.values["relevant10"]).all()
    want = (1 / math.log2(3)) / (1 + 1 / math.log2(3))
    np.testing.assert_allclose(answers.values["ndcg"], want)


def test_what_a_system_was_not_asked_does_not_count() -> None:
    asked = Asked.of([request("red", "b"), request("blue", "d")], ROWS, None)
    answers = score("bm25", asked, np.array([[1], [-1]]), None, answered=np.array([True, False]))
    assert answers.sums("Recall@10", asked, np.ones(2, dtype=bool)).value == 1.0


def test_bands_by_hand() -> None:
    counts = Counter({"a": 4, "b": 2, "c": 2, "d": 1, "e": 1})
    assert bands(counts) == {"a": "head", "b": "head", "c": "torso", "d": "tail", "e": "tail"}
    assert bands(Counter()) == {}
