"""One deadline covers a whole request and travels to cache, encoder and index."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds on a clock that never goes back; injected, so that tests own the time.
Clock = Callable[[], float]


class Deadline:
    """A point in time on a monotonic clock."""

    __slots__ = ("_at", "_clock")

    def __init__(self, at: float, clock: Clock = time.monotonic) -> None:
        self._at = at
        self._clock = clock

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> Deadline:
        """The deadline that is ``seconds`` from now."""
        return cls(clock() + seconds, clock)

    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self._at - self._clock())

    @property
    def passed(self) -> bool:
        """Whether nothing is left."""
        return self._clock() >= self._at

    def earlier(self, seconds: float) -> Deadline:
        """The deadline that lies ``seconds`` before this one."""
        return Deadline(self._at - seconds, self._clock)
