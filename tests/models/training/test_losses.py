import math

import torch

from models.training.losses import contrast, distil, hnst, mnsce


def test_mnsce_by_hand() -> None:
    cosines = torch.tensor([[0.5, 0.0, 0.25], [0.0, 1.0, 0.5]])
    none = torch.zeros(2, 3, dtype=torch.bool)
    first = -math.log(math.exp(1.0) / (math.exp(1.0) + 1 + math.exp(0.5)))
    second = -math.log(math.exp(2.0) / (1 + math.exp(2.0) + math.exp(1.0)))
    value = mnsce(cosines, none, scale=2.0, weights=torch.ones(2))
    torch.testing.assert_close(value, torch.tensor((first + second) / 2))


def test_masked_columns_are_no_negatives_but_the_positive_stays() -> None:
    cosines = torch.tensor([[0.5, 0.9], [0.9, 0.5]])
    masked = torch.ones(2, 2, dtype=torch.bool)
    torch.testing.assert_close(mnsce(cosines, masked, scale=10.0, weights=torch.ones(2)), torch.tensor(0.0))


def test_weights_leave_rows_out() -> None:
    cosines = torch.tensor([[0.5, 0.0], [-1.0, 0.0]])
    none = torch.zeros(2, 2, dtype=torch.bool)
    only = mnsce(cosines, none, scale=1.0, weights=torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(only, torch.tensor(math.log(1 + math.exp(-0.5))))
    assert mnsce(cosines, none, scale=1.0, weights=torch.zeros(2)) == 0


def test_logq_makes_popular_negatives_weaker() -> None:
    cosines = torch.zeros(2, 2)
    none = torch.zeros(2, 2, dtype=torch.bool)
    log_q = torch.log(torch.tensor([0.1, 0.9]))
    # The positive is there whatever it is worth, so it counts 1; a negative counts 1 over how often it comes.
    rows = [math.log(1 + 1 / 0.9), math.log(1 + 1 / 0.1)]
    value = mnsce(cosines, none, scale=5.0, weights=torch.ones(2), log_q=log_q)
    torch.testing.assert_close(value, torch.tensor(sum(rows) / 2))


def test_hnst_by_hand() -> None:
    positive = torch.tensor([0.5, 0.9])
    hard = torch.tensor([[0.45, 0.3], [0.95, 0.0]])
    present = torch.tensor([[True, True], [True, False]])
    # 0.1 - 0.5 + 0.45 = 0.05; 0 as 0.3 is far enough; 0.1 - 0.9 + 0.95 = 0.15; the last is not there.
    torch.testing.assert_close(
        hnst(positive, hard, present, torch.zeros(2, 2), margin=0.1), torch.tensor(0.2 / 3)
    )


def test_a_near_miss_may_lie_nearer() -> None:
    positive, hard = torch.tensor([0.5]), torch.tensor([[0.45, 0.45]])
    grades = torch.tensor([[0.0, 0.4]])
    # 0.2 - 0.05 of what is far off; 0.2 * 0.6 - 0.05 of what is graded 0.4.
    value = hnst(positive, hard, torch.ones(1, 2, dtype=torch.bool), grades, margin=0.2)
    torch.testing.assert_close(value, torch.tensor((0.15 + 0.07) / 2))


def test_distilling_puts_items_as_far_below_as_the_teacher_does() -> None:
    positive, hard = torch.tensor([0.9, 0.5]), torch.tensor([[0.4, 0.7], [0.0, 0.0]])
    gaps = torch.tensor([[0.5, 0.1], [0.0, 0.0]])
    taught = torch.tensor([[True, True], [False, False]])
    torch.testing.assert_close(distil(positive, hard, gaps, taught), torch.tensor(0.1**2 / 2))
    assert distil(positive, hard, gaps, ~taught & taught) == 0


def test_hnst_of_nothing_is_zero() -> None:
    empty = torch.zeros(2, 2)
    assert hnst(torch.zeros(2), empty, empty > 0, empty, margin=0.1) == 0


def test_contrast_rewards_agreement_with_all_that_is_the_same() -> None:
    a = torch.eye(3)
    same = torch.eye(3, dtype=torch.bool)
    sure = contrast(a, a, same, scale=20.0)
    assert sure < 1e-6
    assert contrast(a, a.roll(1, 0), same, scale=20.0) > 10
    # Two rows of one product: the best that can be had is the entropy of its two positives.
    twins = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    alike = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    value = contrast(twins, twins, alike, scale=50.0)
    torch.testing.assert_close(value, torch.tensor(2 * math.log(2) / 3))
