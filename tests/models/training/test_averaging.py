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
        average.update()
        expected = decay * expected + (1 - decay) * value
        state = average.state()
        resumed.resume(state)
    for kept in (average, resumed):
        weigh(module, 9.0)
        with kept.in_place():
            assert module.weight.item() == pytest.approx(expected)
        assert module.weight.item() == 9.0
    average.keep()
    assert module.weight.item() == pytest.approx(expected)


def test_without_a_decay_there_is_no_average() -> None:
    module = nn.Linear(1, 1, bias=False)
    average = Average(module, 0.0)
    weigh(module, 3.0)
    average.update()
    average.keep()
    with average.in_place():
        assert module.weight.item() == 3.0
    assert average.state() is None
