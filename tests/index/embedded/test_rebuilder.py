"""Rebuilds that start by themselves, and tries that are spaced out."""

from __future__ import annotations

from index.embedded.rebuilder import Backoff


def test_tries_are_spaced_out() -> None:
    now = 0.0
    backoff = Backoff(lambda: now)
    assert backoff.due
    waits = []
    for _ in range(9):
        waits.append(backoff.failed())
        assert not backoff.due
        now += waits[-1]
        assert backoff.due
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    backoff.succeeded()
    assert backoff.failed() == 30
