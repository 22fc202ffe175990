"""The learning rate over a stage."""

import pytest

from models.towers.training_config import StageConfig
from models.training.loop import rate_factor


def test_the_rate_warms_up_and_cools_down() -> None:
    knobs = StageConfig(steps=100, warmup=0.1)
    factors = [rate_factor(knobs, step) for step in range(100)]
    assert factors[:10] == pytest.approx([n / 10 for n in range(1, 11)])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] < 0.01
