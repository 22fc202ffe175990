"""A bounded dictionary: the least recently used entry goes first, and nothing outlives its time."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from common.deadline import Clock

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Lru(Generic[K, V]):
    """Values up to a bound, each for at most ``ttl_s`` seconds. For one thread or event loop.

    Args:
        room: how many values are kept, or what they may cost together; 0 keeps none.
        ttl_s: seconds that a value is kept; None for as long as there is room.
        clock: seconds.
        cost: what a value takes of the room; 1 each without it.
    """

    def __init__(
        self,
        room: int,
        ttl_s: float | None = None,
        clock: Clock = time.monotonic,
        cost: Callable[[K, V], int] | None = None,
    ) -> None:
        self._room = room
        self._ttl = ttl_s
        self._clock = clock
        self._cost = cost
        self._used = 0
        #: When its time is over, the value, and what it costs; the least recently used first.
        self._values: OrderedDict[K, tuple[float, V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: K) -> V | None:
        """The value, or None where there is none or its time is over."""
        found = self._values.get(key)
        if found is None:
            return None
        if self._ttl is not None and found[0] <= self._clock():
            self._drop(key)
            return None
        self._values.move_to_end(key)
        return found[1]

    def put(self, key: K, value: V) -> None:
        """Keep a value, and drop the least recently used ones above the bound."""
        if self._room <= 0:
            return
        expires = 0.0 if self._ttl is None else self._clock() + self._ttl
        cost = 1 if self._cost is None else self._cost(key, value)
        self._drop(key)
        self._values[key] = (expires, value, cost)
        self._used += cost
        while self._used > self._room:
            self._used -= self._values.popitem(last=False)[1][2]

    def clear(self) -> None:
        """Forget all values."""
        self._values.clear()
        self._used = 0

    def _drop(self, key: K) -> None:
        dropped = self._values.pop(key, None)
        if dropped is not None:
            self._used -= dropped[2]
