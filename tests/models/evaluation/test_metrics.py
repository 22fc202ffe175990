import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.bm25 import Bm25
from models.evaluation.metrics import mean_reciprocal_rank, ndcg_at, ranks_of, recall_at, relevance_at

RANKS = st.lists(st.integers(0, 50), max_size=30).map(lambda r: np.array(r, dtype=np.int64))


def test_recall_by_hand() -> None:
    ranks = np.array([1, 0, 11, 10])
    assert recall_at(ranks, 10) == 0.5
    assert recall_at(ranks, 1) == 0.25
    assert recall_at(np.array([], dtype=np.int64), 10) == 0.0


def test_mrr_by_hand() -> None:
    assert mean_reciprocal_rank(np.array([1, 2, 0, 4])) == pytest.approx((1 + 0.5 + 0.25) / 4)
    assert mean_reciprocal_rank(np.array([], dtype=np.int64)) == 0.0


def test_relevance_by_hand() -> None:
    grades = np.array([[1.0, 0.4, np.nan, 0.5], [0.0, 0.0, 0.9, 0.1]])
    assert relevance_at(grades, 0.5) == pytest.approx((0.5 + 0.25) / 2)
    assert relevance_at(grades, 0.5, np.array([3.0, 1.0])) == pytest.approx((3 * 0.5 + 0.25) / 4)


def test_ndcg_by_hand() -> None:
    gains = np.array([[0.0, 1.0, 0.5], [0.0, 0.0, 0.0]])
    ideal = np.array([[0.5, 1.0, 0.0], [0.0, 0.0, 0.0]])
    best = 1.0 + 0.5 / math.log2(3)
    got = 1.0 / math.log2(3) + 0.5 / 2
    np.testing.assert_allclose(ndcg_at(gains, ideal, 3), [got / best, 0.0])


def test_ranks_of() -> None:
    answers = np.array([[5, 3, 9], [1, 2, 3], [7, 7, 7]])
    assert ranks_of(answers, np.array([9, 4, 7])).tolist() == [3, 0, 1]


@given(RANKS, st.integers(1, 50))
def test_recall_grows_with_k_and_bounds_mrr(ranks: np.ndarray, k: int) -> None:
    assert 0.0 <= recall_at(ranks, k) <= recall_at(ranks, k + 1) <= 1.0
    assert recall_at(ranks, 1) <= mean_reciprocal_rank(ranks) + 1e-12
    assert mean_reciprocal_rank(ranks) <= recall_at(ranks, 50) + 1e-12


@given(st.lists(st.lists(st.floats(0, 1), min_size=5, max_size=5), min_size=1, max_size=6), st.integers(1, 5))
def test_ndcg_is_one_for_the_best_order_and_never_more(rows: list[list[float]], k: int) -> None:
    gains = np.array(rows)
    value = ndcg_at(gains, gains, k)
    assert ((value >= 0) & (value <= 1 + 1e-9)).all()
    best = ndcg_at(-np.sort(-gains, axis=1), gains, k)
    np.testing.assert_allclose(best, (gains.max(axis=1) > 0).astype(float))


def test_bm25_stems_ranks_and_knows_when_it_has_nothing() -> None:
    index = Bm25(["red running shoes", "blue mug striped", "green apple", "mugs of blue", "blue"])
    top = index.top(["blue mugs", "apples", "zzz", ""], 3)
    assert set(top[0][:2]) == {1, 3}
    assert top[1].tolist() == [2, -1, -1]
    assert (top[2:] == -1).all()
