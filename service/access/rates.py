"""Token buckets: how many requests a second a key may make, with a burst after a pause."""

from __future__ import annotations

import time
from collections.abc import Collection

from common.deadline import Clock


class Bucket:
    """Tokens that come back at a rate, up to a burst.

    Args:
        rate: tokens a second.
        burst: most tokens at once.
        now: seconds, when it is full.
    """

    __slots__ = ("_tokens", "_when", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = burst
        self._when = now

    def take(self, cost: float, now: float) -> float:
        """Take tokens; 0, or how many seconds to wait until they would be there.

        What costs more than the whole burst passes when the bucket is full and leaves a debt, so that a large
        batch is slowed down as its entries would be, and not refused for ever.
        """
        missing = self.missing(cost, now)
        self._tokens = min(self.burst, self._tokens + max(0.0, now - self._when) * self.rate)
        self._when = now
        if missing == 0:
            self._tokens -= cost
        return missing

    def missing(self, cost: float, now: float) -> float:
        """As `take`, but takes nothing."""
        tokens = min(self.burst, self._tokens + max(0.0, now - self._when) * self.rate)
        return max(0.0, min(cost, self.burst) - tokens) / self.rate


class Rates:
    """A bucket for each name that has a rate.

    Args:
        share: what this worker has of each rate. Several workers do not count together: each has its share,
            so a client that keeps to one connection gets that share alone.
        clock: seconds.
    """

    def __init__(self, share: float = 1.0, clock: Clock = time.monotonic) -> None:
        self._share = share
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def wait(self, name: str, rate: float, burst: float | None, cost: float = 1.0) -> float:
        """Take the tokens of a request; 0, or the seconds to wait."""
        rate = rate * self._share
        most = max(1.0, (2 * rate if burst is None else burst * self._share))
        bucket, now = self._buckets.get(name), self._clock()
        if bucket is None or (bucket.rate, bucket.burst) != (rate, most):
            bucket = self._buckets[name] = Bucket(rate, most, now)
        return bucket.take(cost, now)

    def keep(self, names: Collection[str]) -> None:
        """Forget the buckets of all other names."""
        self._buckets = {name: bucket for name, bucket in self._buckets.items() if name in names}
