"""A circuit breaker: after some failures in a row, stop asking for a while, then let one try."""

from __future__ import annotations

import time

from common.deadline import Clock


class CircuitBreaker:
    """Closed (asks), open (does not), half-open (one asks). For one event loop, not for threads.

    Args:
        failures: failures in a row that open it.
        open_s: seconds that it stays open.
        clock: seconds.
    """

    __slots__ = ("_clock", "_failures", "_limit", "_open_s", "_probing", "_retry_at")

    def __init__(self, failures: int, open_s: float, clock: Clock = time.monotonic) -> None:
        self._limit = failures
        self._open_s = open_s
        self._clock = clock
        self._failures = 0
        self._retry_at = 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether calls are held back, or only a probe may pass."""
        return self._failures >= self._limit

    def allows(self) -> bool:
        """Whether to make a call now. Who gets True must tell how the call ended."""
        if not self.is_open:
            return True
        if self._probing or self._clock() < self._retry_at:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """The call worked: close."""
        self._failures = 0
        self._probing = False

    def failed(self) -> None:
        """The call failed: count it, and open at the limit, or again."""
        self._failures += 1
        self._probing = False
        if self.is_open:
            self._retry_at = self._clock() + self._open_s

    def inconclusive(self) -> None:
        """The call ended and says nothing of what was asked: its caller gave up."""
        self._probing = False
