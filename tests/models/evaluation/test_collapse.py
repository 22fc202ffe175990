import numpy as np
import pytest

from models.evaluation.collapse import alignment, effective_rank, similarity, uniformity


def test_effective_rank_counts_the_dimensions_in_use() -> None:
    corners = np.concatenate([np.eye(4), -np.eye(4)])
    assert effective_rank(corners) == pytest.approx(4)
    line = np.outer(np.linspace(-1, 1, 9), [3.0, 4.0, 0.0])
    assert effective_rank(line) == pytest.approx(1)
    assert effective_rank(np.tile([0.6, 0.8], (5, 1))) == 0
    # Energies 3/4 and 1/4: exp of their entropy.
    uneven = np.diag(np.sqrt([3.0, 1.0]))
    uneven = np.concatenate([uneven, -uneven])
    assert effective_rank(uneven) == pytest.approx(np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25))))


def test_alignment_and_uniformity_by_hand() -> None:
    a, b = np.eye(2), np.array([[0.0, 1.0], [0.0, 1.0]])
    assert alignment(a, b) == pytest.approx((2 + 0) / 2)
    assert uniformity(np.tile([1.0, 0.0], (4, 1))) == pytest.approx(0)
    assert uniformity(np.array([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(-8)


def test_similarity_sees_through_a_turn_and_a_scale() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 6))
    turn, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    assert similarity(x, 3 * x @ turn) == pytest.approx(1)
    assert similarity(x, rng.normal(size=(500, 6))) < 0.1
    assert np.isnan(similarity(x, np.ones((500, 6))))
