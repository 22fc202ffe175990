"""Measures and tests beside those of the field's own libraries: trec_eval, scikit-learn and scipy."""

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from models.evaluation.answers import Answers
from models.evaluation.heldout import HeldOut, Request
from models.evaluation.low_labels import LowLabels
from models.evaluation.measures import score
from models.evaluation.statistics import Sums, bootstrap, permutation
from models.training.teacher.stage import auc
from tests.models.evaluation.requests import request

ITEMS = 120
ROWS = {f"i{row}": row for row in range(ITEMS)}
SEEDS = st.integers(0, 2**32 - 1)


class Drawn:
    """Grades in steps of a tenth, since trec_eval takes whole numbers."""

    source = "judge"

    def __init__(self, rng: np.random.Generator, queries: int) -> None:
        share = rng.choice([0.02, 0.1, 0.6])
        few = rng.random((queries, ITEMS)) < share
        self.levels = np.where(few, rng.integers(1, 11, (queries, ITEMS)), 0)

    def catalogue_grades(self, query: str, picture: str | None) -> np.ndarray:
        return (self.levels[int(query)] / 10).astype(np.float32)


def asked(rng: np.random.Generator, queries: int) -> list[Request]:
    return [request(str(query), f"i{rng.integers(ITEMS)}") for query in range(queries)]


@given(SEEDS)
@settings(max_examples=25)
def test_measures_are_those_of_trec_eval(seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries, depth = 6, int(rng.integers(1, 110))
    grades = Drawn(rng, queries)
    held_out = HeldOut.number(asked(rng, queries), ROWS, grades)
    top = np.stack([rng.permutation(ITEMS)[:depth] for _ in range(queries)])
    # Some systems find less than is asked for.
    top[np.arange(depth) >= rng.integers(1, depth + 1, queries)[:, None]] = -1
    values = score(Answers("ours", held_out, top, np.ones(queries, dtype=bool))).values
    run = {
        str(query): {f"i{row}": float(depth - rank) for rank, row in enumerate(rows.tolist()) if row >= 0}
        for query, rows in enumerate(top)
    }
    graded = {
        str(query): {f"i{row}": int(level) for row, level in enumerate(levels)}
        for query, levels in enumerate(grades.levels)
    }
    clicked = {str(query): {f"i{row}": 1} for query, row in enumerate(held_out.wanted.tolist())}
    names = {"recip_rank", "recall_10", "recall_50", "recall_100"}
    by_click = pytrec_eval.RelevanceEvaluator(clicked, names).evaluate(run)
    by_grade = pytrec_eval.RelevanceEvaluator(graded, {"ndcg_cut_10"}).evaluate(run)
    relevant = pytrec_eval.RelevanceEvaluator(graded, {"P_10", "P_100"}, relevance_level=5).evaluate(run)
    for ours, theirs, name in (
        ("MRR", by_click, "recip_rank"),
        ("Recall@10", by_click, "recall_10"),
        ("Recall@50", by_click, "recall_50"),
        ("Recall@100", by_click, "recall_100"),
        ("nDCG@10", by_grade, "ndcg_cut_10"),
        ("Rele@10_p", relevant, "P_10"),
        ("Rele@100_p", relevant, "P_100"),
    ):
        expected = [theirs[str(query)][name] for query in range(queries)]
        np.testing.assert_allclose(values[ours], expected, atol=1e-6, err_msg=ours)
    room = np.minimum((grades.levels >= 5).sum(axis=1), 10)
    hits = np.array([10 * relevant[str(query)]["P_10"] for query in range(queries)])
    np.testing.assert_allclose(values["R-prec@10"], np.where(room > 0, hits / np.maximum(room, 1), np.nan))


@given(SEEDS)
@settings(max_examples=25)
def test_auc_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    queries = 5
    low = {(str(q), None): np.sort(rng.permutation(ITEMS)[: rng.integers(1, 20)]) for q in range(queries)}
    categories = rng.integers(0, 2, ITEMS)
    held_out = HeldOut.number(asked(rng, queries), ROWS, None, LowLabels(low, categories))
    # Coarse, so that there are ties.
    scores = rng.integers(0, 8, (queries, ITEMS)) / 8
    top = np.zeros((queries, 1), dtype=np.int64)
    answers = Answers("ours", held_out, top, np.ones(queries, dtype=bool), lambda q, rows: scores[q, rows])
    found = score(answers).values["AUC low"]
    for query, wanted in enumerate(held_out.wanted.tolist()):
        near = [
            row for row in low[str(query), None] if categories[row] == categories[wanted] and row != wanted
        ]
        if not near:
            assert np.isnan(found[query])
            continue
        right = [1, *[0] * len(near)]
        assert found[query] == pytest.approx(roc_auc_score(right, scores[query, [wanted, *near]]))


def test_auc_of_pairs_is_that_of_each_pair() -> None:
    good, bad = np.array([0.9, 0.4, 0.5], np.float32), np.array([0.1, 0.6, 0.5], np.float32)
    each = [roc_auc_score([1, 0], [a, b]) for a, b in zip(good, bad, strict=True)]
    assert auc(good, bad) == pytest.approx(np.mean(each))
    assert auc(good[:0], bad[:0]) == 0.5


@pytest.mark.parametrize("seed", range(4))
def test_the_paired_test_is_that_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = rng.random(11), rng.random(11) - 0.15 * seed
    weight = np.ones(11)
    found = permutation(Sums(ours, weight), Sums(theirs, weight), resamples=20_000)
    expected = stats.permutation_test(
        (ours, theirs), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=np.inf
    )
    # 2,048 permutations are all there are; ours draws among them.
    assert found == pytest.approx(expected.pvalue, abs=0.015)


def test_the_interval_is_that_of_scipy() -> None:
    values = np.random.default_rng(3).normal(1.0, 0.3, 200)
    found = bootstrap(Sums(values, np.ones(200)), resamples=4000)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=1)
    expected = theirs.confidence_interval
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.004)
