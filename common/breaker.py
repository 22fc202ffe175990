"""A circuit breaker: after some failures in a row, stop asking for a while, then let one try."""

from __future__ import annotations

import time

from common.deadline import Clock


class CircuitBreaker:
    """Closed (asks), open (does not), half-open (one asks). For one event loop, not for threads.

    Who asks gets a ticket and gives it back with how the call ended. Tickets of before the circuit opened
    change nothing any more, whatever became of their calls: only the one that was let through since, the
    probe, closes it, keeps it open, or makes room for the next.

    Args:
        failures: failures in a row that open it.
        open_s: seconds that it stays open.
        clock: seconds.
    """

    __slots__ = ("_clock", "_era", "_failures", "_limit", "_open_s", "_probing", "_retry_at")

    def __init__(self, failures: int, open_s: float, clock: Clock = time.monotonic) -> None:
        self._limit = failures
        self._open_s = open_s
        self._clock = clock
        self._failures = 0
        self._retry_at = 0.0
        self._probing = False
        #: The number of the tickets that count.
        self._era = 0

    @property
    def is_open(self) -> bool:
        """Whether calls are held back, or only a probe may pass."""
        return self._failures >= self._limit

    def enter(self) -> int | None:
        """A ticket for a call now, or None for no call. Who gets one must tell how the call ended."""
        if self.is_open:
            if self._probing or self._clock() < self._retry_at:
                return None
            self._probing = True
            self._era += 1
        return self._era

    def counts(self, ticket: int) -> bool:
        """Whether the ticket still counts: the circuit did not open since."""
        return ticket == self._era

    def succeeded(self, ticket: int) -> None:
        """The call worked: close."""
        if ticket == self._era:
            self._failures = 0
            self._probing = False

    def failed(self, ticket: int) -> None:
        """The call failed: count it, and open at the limit, or again."""
        if ticket != self._era:
            return
        self._failures += 1
        self._probing = False
        if self.is_open:
            self._era += 1
            self._retry_at = self._clock() + self._open_s

    def inconclusive(self, ticket: int) -> None:
        """The call ended and says nothing of what was asked: its caller gave up."""
        if ticket == self._era:
            self._probing = False
