"""A circuit breaker: after some failures in a row, stop asking for a while, then let one try."""

from __future__ import annotations

import time

from common.deadline import Clock


class Breaker:
    """Closed (asks), open (does not), half-open (one asks). For one event loop, not for threads."""

    def __init__(self, failures: int, open_s: float, clock: Clock = time.monotonic) -> None:
        self._limit = failures
        self._open_s = open_s
        self._clock = clock
        self._failures = 0
        self._retry_at = 0.0
        self._probing = False

    @property
    def open(self) -> bool:
        """Whether calls are held back at present."""
        return self._failures >= self._limit

    def allow(self) -> bool:
        """Whether to make the call; whoever gets True must report success or failure."""
        if not self.open:
            return True
        if self._probing or self._clock() < self._retry_at:
            return False
        self._probing = True
        return True

    def success(self) -> None:
        """The call worked: close."""
        self._failures = 0
        self._probing = False

    def failure(self) -> None:
        """The call failed: count it, and open (again) at the limit."""
        self._failures += 1
        self._probing = False
        if self.open:
            self._retry_at = self._clock() + self._open_s
