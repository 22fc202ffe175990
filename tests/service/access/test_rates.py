"""Token buckets against a plain count of what was let through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.access.rates import Bucket, Rates


@given(
    rate=st.floats(0.1, 1000),
    burst=st.floats(1, 1000),
    steps=st.lists(st.tuples(st.floats(0, 10), st.integers(1, 64)), max_size=50),
)
def test_never_more_than_burst_and_rate_and_one_batch(
    rate: float, burst: float, steps: list[tuple[float, int]]
) -> None:
    now, passed = 0.0, 0
    bucket = Bucket(rate, burst, now)
    for pause, cost in steps:
        now += pause
        wait = bucket.take(cost, now)
        if wait == 0:
            passed += cost
        else:
            assert bucket.take(cost, now + wait * 1.0001 + 1e-6) == 0  # whoever waits is let through
            passed += cost
            now += wait * 1.0001 + 1e-6
        assert passed <= burst + now * rate + 64 + 1e-6 * passed


def test_a_large_batch_leaves_a_debt() -> None:
    bucket = Bucket(rate=10, burst=20, now=0)
    assert bucket.take(64, 0) == 0
    assert bucket.take(1, 0) == pytest.approx(4.5)
    assert bucket.take(1, 4.4) > 0
    assert bucket.take(1, 4.6) == 0


def test_a_clock_that_steps_back_takes_nothing() -> None:
    bucket = Bucket(rate=1, burst=1, now=100)
    assert bucket.take(1, 50) == 0
    assert bucket.take(1, 51) == 0


def test_each_worker_has_its_share_and_names_are_forgotten() -> None:
    now = [0.0]
    rates = Rates(share=0.25, clock=lambda: now[0])
    assert sum(rates.wait("shop", 40, 80) == 0 for _ in range(100)) == 20
    now[0] += 1
    assert sum(rates.wait("shop", 40, 80) == 0 for _ in range(100)) == 10
    assert rates.wait("other", 1, None) == 0
    rates.keep({"shop"})
    assert len(rates) == 1
    assert rates.wait("shop", 4000, 8000) == 0  # the file has another rate now
