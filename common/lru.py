"""A bounded dictionary: the least recently used entry goes first, and nothing outlives its time."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from common.deadline import Clock

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Lru(Generic[K, V]):
    """At most ``entries`` values, each for at most ``ttl_s`` seconds. For one thread or event loop.

    Args:
        entries: values kept; 0 keeps none.
        ttl_s: seconds that a value is kept; None for as long as there is room.
        clock: seconds.
    """

    def __init__(self, entries: int, ttl_s: float | None = None, clock: Clock = time.monotonic) -> None:
        self._entries = entries
        self._ttl = ttl_s
        self._clock = clock
        self._values: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """The value, or None where there is none or its time is over."""
        found = self._values.get(key)
        if found is None:
            return None
        if self._ttl is not None and found[0] <= self._clock():
            del self._values[key]
            return None
        self._values.move_to_end(key)
        return found[1]

    def put(self, key: K, value: V) -> None:
        """Keep a value, and drop the least recently used ones above the bound."""
        if self._entries <= 0:
            return
        expires = 0.0 if self._ttl is None else self._clock() + self._ttl
        self._values[key] = (expires, value)
        self._values.move_to_end(key)
        while len(self._values) > self._entries:
            self._values.popitem(last=False)

    def clear(self) -> None:
        """Forget all values."""
        self._values.clear()
