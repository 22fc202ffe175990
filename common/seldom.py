"""For what may happen a thousand times a second and is worth one line a second."""

from __future__ import annotations

import threading
import time

from common.deadline import Clock


class Seldom:
    """Says yes at most once in ``every_s`` seconds; any thread may ask."""

    __slots__ = ("_again_at", "_clock", "_every", "_left_out", "_lock")

    def __init__(self, every_s: float = 1.0, clock: Clock = time.monotonic) -> None:
        self._every = every_s
        self._clock = clock
        self._lock = threading.Lock()
        self._again_at = -float("inf")
        self._left_out = 0

    def now(self) -> int | None:
        """How often it said no since it last said yes, or None for no."""
        with self._lock:
            if self._clock() < self._again_at:
                self._left_out += 1
                return None
            self._again_at = self._clock() + self._every
            left_out, self._left_out = self._left_out, 0
            return left_out
