"""The circuit breaker: closed, open, half-open."""

from __future__ import annotations

from common.breaker import CircuitBreaker


def test_it_opens_after_failures_in_a_row_and_lets_one_try() -> None:
    now = 0.0
    breaker = CircuitBreaker(2, 5.0, lambda: now)
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert breaker.is_open
    assert not breaker.allows()
    now = 5.0
    assert breaker.allows()
    assert not breaker.allows(), "one probe at a time"
    breaker.failed()
    assert not breaker.allows()
    now = 10.0
    assert breaker.allows()
    breaker.inconclusive()
    assert breaker.allows(), "the probe said nothing, so another one may go"
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.allows()
    assert breaker.allows()
