"""What labels of low relevance are worth on ESCI: figures by hand."""

import numpy as np
import pytest

from benchmarks.esci_data import Esci
from benchmarks.esci_low import FROZEN, compared
from benchmarks.esci_measure import Answers


def _answers(data: Esci, right: float) -> Answers:
    """Every query's own product has ``right``, the next 0.5, and all others less."""
    scores = np.tile(np.linspace(0.1, 0.0, 6), (6, 1))
    for query in range(6):
        scores[query, [query, (query + 1) % 6]] = right, 0.5
    return Answers.from_scores(scores, data, np.arange(6))


def test_gaps_are_of_the_same_queries_and_seeds() -> None:
    names = [f"p{n}" for n in range(6)]
    pairs = np.array([(query, product % 6) for query in range(6) for product in (query, query + 1)])
    is_exact = np.array([True, False] * 6)
    data = Esci(names, names, names, [[query] for query in range(6)], pairs, is_exact)
    good, bad = _answers(data, 0.9), _answers(data, 0.4)
    same = compared([good, bad], [good, bad], data)
    assert all(gap == {"value": 0.0, "low": 0.0, "high": 0.0} for gap in same["with less without"].values())
    better = compared([good, good], [bad, bad], data)
    gaps = better["with less without"]
    assert better["with"]["AUC"] == 1
    assert better["without"]["AUC"] == 0
    assert (gaps["AUC"]["low"], gaps["AUC"]["high"]) == (1, 1)
    # Found second instead of first: 1 less 1 / log2(3).
    assert gaps["nDCG@10"]["value"] == pytest.approx(1 - 1 / np.log2(3))
    assert gaps["R@10"]["value"] == 0


def test_systems_that_learn_their_fusion_alone_leave_experts_as_they_are() -> None:
    assert {system.key for system in FROZEN} == {"given-fusion", "ngrams-fusion"}
    for system in FROZEN:
        assert system.settings["stage1.steps"] == 0
        assert system.settings["stage2.steps"] > 0
