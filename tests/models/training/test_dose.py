"""The share of the gradient that hard negatives have."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.towers.training_config import LossConfig
from models.training.dose import dose, pull
from models.training.losses import hnst, mnsce

NONE = torch.zeros(2, 3, dtype=torch.bool)


def test_a_pull_is_the_sum_of_the_derivatives() -> None:
    cosines = torch.zeros(2, 3, requires_grad=True)
    easy = mnsce(cosines, NONE, scale=20.0, weights=torch.ones(2))
    # Each row pulls its positive by 2/3 of the scale and pushes each of two others by 1/3; mean over rows.
    torch.testing.assert_close(pull(easy, [cosines]), torch.tensor(20.0 * 4 / 3))
    positive, hard = cosines.diagonal(), cosines[:, 2:]
    grades, present = torch.zeros(2, 1), torch.ones(2, 1, dtype=torch.bool)
    triplets = hnst(positive, hard, present, grades, margin=0.1)
    torch.testing.assert_close(pull(triplets, [positive, hard]), torch.tensor(2.0))
    assert pull(torch.zeros(()), [cosines]) == 0
    assert pull(easy, [torch.zeros(2, requires_grad=True)]) == 0
    # Measuring leaves the graph whole.
    easy.backward()
    assert cosines.grad is not None


@given(st.floats(0.01, 50), st.floats(0.01, 5), st.floats(0.05, 0.9))
def test_beta_gives_the_share_that_is_asked_for(easy: float, hard: float, share: float) -> None:
    loss = LossConfig(hard_share=share, beta_most=1e9)
    beta, got = dose(loss, torch.tensor(easy), torch.tensor(hard))
    assert float(got) == pytest.approx(share, rel=1e-4)
    assert float(beta * hard / (easy + beta * hard)) == pytest.approx(share, rel=1e-4)


def test_beta_has_a_bound_and_is_nothing_where_nothing_is_active() -> None:
    loss = LossConfig(hard_share=0.5, beta_most=50)
    beta, share = dose(loss, torch.tensor(10.0), torch.tensor(0.01))
    assert beta == 50
    assert float(share) == pytest.approx(0.5 / 10.5)
    beta, share = dose(loss, torch.tensor(10.0), torch.tensor(0.0))
    assert (beta, share) == (0, 0)


def test_without_a_share_beta_stays_as_it_is() -> None:
    beta, share = dose(LossConfig(beta=5.0, hard_share=0.0), torch.tensor(20.0), torch.tensor(1.0))
    assert beta == 5
    assert float(share) == pytest.approx(0.2)
    # HNST alone has nothing to be a share of.
    beta, share = dose(LossConfig(alpha=0.0, beta=2.0, hard_share=0.3), torch.tensor(0.0), torch.tensor(1.0))
    assert (beta, share) == (2, 1)
