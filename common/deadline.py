"""One deadline covers a whole request and travels to cache, encoder and index."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")

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


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is cancelled when it takes longer.

    As ``asyncio.timeout``, for work that seldom waits: a timer is set only when it does. This saves 12 µs a
    call, three times in a request (``benchmarks.recall``, the mix of hits).

    Raises:
        TimeoutError: it took longer.
    """
    try:
        waits_for = work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    async with asyncio.timeout(seconds):
        return await Begun(work, waits_for)


class Begun(Generic[T]):
    """A coroutine that has run up to its first wait, awaited by the task that began it.

    Args:
        work: see there.
        waits_for: what its first step gave.
    """

    def __init__(self, work: Coroutine[Any, Any, T], waits_for: Any) -> None:
        self._work = work
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, T]:
        waits_for = self._waits_for
        try:
            while True:
                try:
                    sent = yield waits_for
                except BaseException as error:
                    waits_for = self._work.throw(error)
                else:
                    waits_for = self._work.send(sent)
        except StopIteration as done:
            result: T = done.value
            return result
