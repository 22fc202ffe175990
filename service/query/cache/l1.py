"""The in-process cache: least recently used goes first, and nothing outlives its time."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Generic, TypeVar

from common.deadline import Clock

V = TypeVar("V")


class LruCache(Generic[V]):
    """At most ``entries`` values, each for at most ``ttl_s`` seconds. For one event loop, not for threads."""

    def __init__(self, entries: int, ttl_s: float, clock: Clock = time.monotonic) -> None:
        self._entries = entries
        self._ttl = ttl_s
        self._clock = clock
        self._values: OrderedDict[str, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str) -> V | None:
        """The value, or None where there is none or its time is over."""
        found = self._values.get(key)
        if found is None:
            return None
        if found[0] <= self._clock():
            del self._values[key]
            return None
        self._values.move_to_end(key)
        return found[1]

    def put(self, key: str, value: V) -> None:
        """Keep a value, dropping the least recently used above the bound."""
        if self._entries == 0:
            return
        self._values[key] = (self._clock() + self._ttl, value)
        self._values.move_to_end(key)
        while len(self._values) > self._entries:
            self._values.popitem(last=False)
