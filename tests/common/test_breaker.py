"""The circuit breaker: closed, open, half-open."""

from __future__ import annotations

from common.breaker import CircuitBreaker


def ticket(breaker: CircuitBreaker) -> int:
    given = breaker.enter()
    assert given is not None
    return given


def test_it_opens_after_failures_in_a_row_and_lets_one_try() -> None:
    now = 0.0
    breaker = CircuitBreaker(2, 5.0, lambda: now)
    breaker.failed(ticket(breaker))
    breaker.succeeded(ticket(breaker))
    breaker.failed(ticket(breaker))
    breaker.failed(ticket(breaker))
    assert breaker.is_open
    assert breaker.enter() is None
    now = 5.0
    probe = ticket(breaker)
    assert breaker.enter() is None, "one probe at a time"
    breaker.failed(probe)
    assert breaker.enter() is None
    now = 10.0
    breaker.inconclusive(ticket(breaker))
    breaker.succeeded(ticket(breaker))  # the probe said nothing, so another one may go
    assert not breaker.is_open
    assert breaker.enter() is not None
    assert breaker.enter() is not None


def test_calls_from_before_it_opened_change_nothing() -> None:
    now = 0.0
    breaker = CircuitBreaker(1, 5.0, lambda: now)
    late = [ticket(breaker) for _ in range(3)]
    breaker.failed(ticket(breaker))
    breaker.succeeded(late[0])
    assert breaker.is_open, "a late success is no sign that calls work now"
    now = 3.0
    breaker.failed(late[1])
    now = 5.0
    probe = ticket(breaker)  # the late failure did not make the pause longer
    breaker.inconclusive(late[2])
    assert breaker.enter() is None, "a late end is not the probe's"
    breaker.succeeded(probe)
    breaker.failed(late[2])
    assert not breaker.is_open
