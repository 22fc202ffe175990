"""A circuit breaker: an endpoint that keeps failing is left alone for a while."""

from __future__ import annotations

import time

from common.deadline import Clock
from index.vespa.settings import BreakerSettings


class Breaker:
    """Counts failures in a row of one endpoint.

    Closed: requests pass. After ``failures`` in a row it opens and none pass for ``pause`` seconds. Then
    it lets one at a time through: a success closes it, a failure opens it for another pause.
    """

    __slots__ = ("_clock", "_failures", "_open_until", "_probing", "_settings")

    def __init__(self, settings: BreakerSettings, clock: Clock = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._failures = 0
        self._open_until: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether requests are being kept away, or only a probe passes."""
        return self._open_until is not None

    def allows(self) -> bool:
        """Whether a request may pass now; asking takes the one probe of a half-open circuit."""
        if self._open_until is None:
            return True
        if self._probing or self._clock() < self._open_until:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        """A request was answered."""
        self._failures = 0
        self._open_until = None
        self._probing = False

    def failed(self) -> None:
        """A request failed in a way that speaks against the endpoint."""
        self._failures += 1
        if self._probing or self._failures >= self._settings.failures:
            self._open_until = self._clock() + self._settings.pause
        self._probing = False

    def inconclusive(self) -> None:
        """A request ended and says nothing about the endpoint: given up by the caller."""
        self._probing = False
