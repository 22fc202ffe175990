"""Every measure by hand and against a plain reference; the registry; what was not asked does not count."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.answers import Answers
from models.evaluation.heldout import HeldOut
from models.evaluation.measures import MEASURES, Measure, MeasureError, ndcg_at, register, score, shown
from tests.models.evaluation.requests import ROWS, Graded, request

RANKS = st.lists(st.integers(0, 50), min_size=1, max_size=30)


def answers(held_out: HeldOut, top: list[list[int]], answered: list[bool] | None = None) -> Answers:
    mask = np.ones(len(top), dtype=bool) if answered is None else np.array(answered)
    return Answers("ours", held_out, np.array(top), mask)


def test_every_measure_by_hand() -> None:
    # "red" was searched for five times, whatever was clicked then.
    red = [replace(request("red", item), searches=5) for item in "bd"]
    held_out = HeldOut.number([*red, request("blue", "c")], ROWS, Graded())
    scores = score(answers(held_out, [[1, 0, 2], [2, 3, 0], [0, 1, -1]]))
    everything = np.ones(3, dtype=bool)
    value = {m: scores.sums(m, everything).value for m in MEASURES}
    assert value["Recall@1"] == pytest.approx(1 / 3)
    # b and d were clicked for red; the first answers are b and c, and the third request found nothing.
    assert value["Hit@1"] == pytest.approx((0.5 + 0) / 2)
    assert value["Recall@10"] == pytest.approx(2 / 3)
    assert value["MRR"] == pytest.approx((1 + 1 / 2 + 0) / 3)
    # Of the first answer a and b are relevant, of the second a; ten places are asked for, three are filled.
    assert value["Rele@10_p"] == pytest.approx((0.2 + 0.1) / 2)
    assert value["Rele@100_p"] == pytest.approx((0.02 + 0.01) / 2)
    best = 1 + 0.5 / math.log2(3) + 0.1 / 2
    first = 0.5 + 1 / math.log2(3) + 0.1 / 2
    second = 0.1 + 0 + 1 / 2
    assert value["nDCG@10"] == pytest.approx((first + second) / 2 / best)
    assert scores.sums("Rele@10_p", everything).weight.tolist() == [1, 0]
    assert scores.sums("Rele@10_p_w", everything).weight.tolist() == [5, 0]


def test_without_grades_clicks_are_the_gains() -> None:
    held_out = HeldOut.number([request("red", "b"), request("red", "d")], ROWS, None)
    scores = score(answers(held_out, [[0, 1, 2], [0, 1, 2]]))
    assert np.isnan(scores.values["Rele@10_p"]).all()
    want = (1 / math.log2(3)) / (1 + 1 / math.log2(3))
    np.testing.assert_allclose(scores.values["nDCG@10"], want)


def test_what_a_system_was_not_asked_does_not_count() -> None:
    held_out = HeldOut.number([request("red", "b"), request("blue", "d")], ROWS, None)
    scores = score(answers(held_out, [[1], [-1]], [True, False]))
    assert scores.sums("Recall@10", np.ones(2, dtype=bool)).value == 1.0


@given(RANKS)
def test_recall_and_mrr_are_those_of_a_plain_reference(ranks: list[int]) -> None:
    """The wanted item of each request stands at its rank among 50 others, or is not there at all."""
    rows = {str(row): row for row in range(51)}
    held_out = HeldOut.number([request(str(n), "50") for n in range(len(ranks))], rows, None)
    top = [[50 if place + 1 == rank else place for place in range(50)] for rank in ranks]
    scores = score(answers(held_out, top))
    everything = np.ones(len(ranks), dtype=bool)
    for k in (1, 10, 50):
        found = scores.sums(f"Recall@{k}", everything).value
        assert found == pytest.approx(sum(0 < rank <= k for rank in ranks) / len(ranks))
    found = scores.sums("MRR", everything).value
    assert found == pytest.approx(sum(1 / rank for rank in ranks if rank) / len(ranks))


@given(st.lists(st.lists(st.floats(0, 1), min_size=5, max_size=5), min_size=1, max_size=6), st.integers(1, 5))
def test_ndcg_is_that_of_a_plain_reference(rows: list[list[float]], k: int) -> None:
    def dcg(gains: list[float]) -> float:
        return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains[:k]))

    want = [dcg(row) / most if (most := dcg(sorted(row, reverse=True))) > 0 else 0.0 for row in rows]
    np.testing.assert_allclose(ndcg_at(np.array(rows), np.array(rows), k), want, rtol=1e-9)


def test_ndcg_by_hand() -> None:
    gains = np.array([[0.0, 1.0, 0.5], [0.0, 0.0, 0.0]])
    ideal = np.array([[0.5, 1.0, 0.0], [0.0, 0.0, 0.0]])
    best = 1.0 + 0.5 / math.log2(3)
    got = 1.0 / math.log2(3) + 0.5 / 2
    np.testing.assert_allclose(ndcg_at(gains, ideal, 3), [got / best, 0.0])


def test_a_measure_that_is_registered_is_scored_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.evaluation.measures.MEASURES", dict(MEASURES))
    register(Measure("Rank", "request", lambda a: a.ranks.astype(np.float64), shown=True))
    held_out = HeldOut.number([request("red", "b"), request("blue", "d")], ROWS, None)
    scores = score(answers(held_out, [[0, 1], [3, 0]]))
    assert scores.sums("Rank", np.ones(2, dtype=bool)).value == 1.5
    assert shown()[-1] == "Rank"
    with pytest.raises(MeasureError, match="'Rank' is registered already"):
        register(Measure("Rank", "query", lambda a: a.ranks.astype(np.float64)))
