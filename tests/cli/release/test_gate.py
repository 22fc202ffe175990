"""The gate: what is surely worse is refused, what may be chance is not, and what says nothing is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cli.release.gate import judge
from cli.release.plan import Gate
from models.evaluation.statistics import by_query, difference


def evaluation(
    *gaps: tuple[str, float | None, float | None, float | None], queries: int = 100
) -> dict[str, Any]:
    return {
        "slices": [{"slice": "all", "system": "new", "queries_of_slice": queries}],
        "comparisons": [
            {"slice": "all", "measure": m, "against": "old", "value": v, "low": low, "high": high, "p": 0.5}
            for m, v, low, high in gaps
        ]
        + [{"slice": "all", "measure": "MRR", "against": "bm25", "value": -1, "low": -1, "high": -1, "p": 0}],
    }


def test_worse_beyond_its_interval_is_refused_and_named() -> None:
    found = judge(
        evaluation(("Recall@10", 0.1, 0.05, 0.15), ("nDCG@10", -0.02, -0.03, -0.001)), "old", Gate()
    )
    assert found.refused == "surely worse than what serves: nDCG@10 (all) -0.0200 (-0.0300 to -0.0010)"
    assert [line.worse for line in found.lines] == [False, True]


def test_worse_within_its_interval_passes() -> None:
    found = judge(evaluation(("nDCG@10", -0.02, -0.05, 0.01), ("MRR", 0.1, 0.0, 0.2)), "old", Gate())
    assert found.refused is None
    assert found.says.startswith("none of 2 measures is surely worse; least gained: nDCG@10 (all) -0.0200")


def test_a_loss_can_be_accepted() -> None:
    given = evaluation(("nDCG@10", -0.02, -0.03, -0.01))
    assert judge(given, "old", Gate(loss=0.01)).refused is None
    assert judge(given, "old", Gate(loss=0.005)).refused is not None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (evaluation(("nDCG@10", 0.1, 0.0, 0.2), queries=49), "49 held-out queries"),
        (evaluation(("nDCG@10", None, None, None)), "is known of both bundles"),
        (evaluation(), "is known of both bundles"),
    ],
)
def test_what_says_nothing_is_refused(given: dict[str, Any], said: str) -> None:
    refused = judge(given, "old", Gate()).refused
    assert refused is not None
    assert said in refused


def test_bundles_of_equal_worth_pass_nearly_always() -> None:
    """One measure of 200 queries: the interval lies below 0 in about 2.5% of the nights."""
    rng = np.random.default_rng(7)
    query = np.arange(200)
    refused = 0
    for _ in range(200):
        one, other = (by_query((rng.random(200) < 0.5).astype(float), query, 200) for _ in range(2))
        gap = difference(one, other, resamples=200)
        given = evaluation(("MRR", gap.value, gap.low, gap.high), queries=200)
        refused += judge(given, "old", Gate()).refused is not None
    assert 0 < refused <= 14
