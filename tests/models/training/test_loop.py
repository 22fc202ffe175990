"""The schedule of a stage."""

import pytest

from models.training.loop import Schedule


def test_schedule_warms_up_and_cools_down() -> None:
    schedule = Schedule(steps=100, rate=1.0, weight_decay=0.0, warmup=0.1)
    factors = [schedule.factor(step) for step in range(100)]
    assert factors[:10] == pytest.approx([n / 10 for n in range(1, 11)])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] < 0.01
