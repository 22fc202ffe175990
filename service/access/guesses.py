"""Wrong keys, by the address that showed them: whoever tries many has to wait."""

from __future__ import annotations

import logging
import time

from common.deadline import Clock
from common.lru import Lru
from service.access.rates import Bucket

log = logging.getLogger("mrse.service")

#: Wrong keys that an address may show at once, and how many more a second.
BURST, RATE = 10.0, 0.5
#: Addresses that are remembered, the latest ones.
ADDRESSES = 4096
#: Seconds between two lines in the log, however many addresses guess.
LOG_EVERY_S = 10.0


class Guesses:
    """Counts wrong keys by address, as `service.admission.client.network` gives it, in bounded memory.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._buckets: Lru[str, Bucket] = Lru(ADDRESSES, clock=clock)
        self._unsaid = 0
        self._said = float("-inf")

    def __len__(self) -> int:
        return len(self._buckets)

    def wrong(self, address: str) -> float:
        """Note a wrong key; 0, or how many seconds this address has to wait before it may try again."""
        now = self._clock()
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = Bucket(RATE, BURST, now)
            self._buckets.put(address, bucket)
        self._say(address, now)
        return bucket.take(1.0, now)

    def waits(self, address: str) -> float:
        """Seconds that this address has to wait; takes nothing."""
        bucket = self._buckets.get(address) if len(self._buckets) else None
        return 0.0 if bucket is None else bucket.missing(1.0, self._clock())

    def _say(self, address: str, now: float) -> None:
        """One line for many guesses, so that guessing does not fill the log."""
        self._unsaid += 1
        if now - self._said >= LOG_EVERY_S:
            log.warning("wrong keys", extra={"address": address, "since_last_line": self._unsaid})
            self._said, self._unsaid = now, 0
