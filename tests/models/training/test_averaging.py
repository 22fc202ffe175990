"""Averages of weights."""

import pytest
import torch
from torch import nn

from models.training.averaging import Average


def weigh(module: nn.Linear, value: float) -> None:
    with torch.no_grad():
        module.weight.fill_(value)


def test_the_average_follows_the_weights_and_goes_on_after_a_checkpoint() -> None:
    module = nn.Linear(1, 1, bias=False)
    average, resumed = Average(module, 0.5), Average(module, 0.5)
    # After n steps the decay is min(0.5, (1 + n) / (10 + n)): 2/11 after one, 3/12 after two.
    expected = 1.0
    for value, decay in ((1.0, 0.0), (4.0, 2 / 11), (-2.0, 3 / 12)):
        weigh(module, value)
        average.update_parameters(module)
        expected = decay * expected + (1 - decay) * value
        resumed.load_state_dict(average.state_dict())
    for kept in (average, resumed):
        weigh(module, 9.0)
        with kept.in_place(module):
            assert module.weight.item() == pytest.approx(expected)
        assert module.weight.item() == 9.0
