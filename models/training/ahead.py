"""Draws what steps need ahead of them, in threads, so that training does not wait for the host."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Gives what ``make(step)`` gives for each step, made up to ``depth`` steps before it is asked for.

    ``make`` must depend on nothing but the step, so that the outcome is the same whatever the depth; it is
    called from several threads. A context: threads end with it.

    Args:
        make: draws for a step.
        steps: how many there are; nothing is made beyond the last.
        depth: steps ahead, and threads; 0 makes each when it is asked for.
    """

    def __init__(self, make: Callable[[int], T], steps: int, depth: int) -> None:
        self._make, self._steps, self._depth = make, steps, depth
        self._pool = ThreadPoolExecutor(depth, "ahead") if depth else None
        self._coming: dict[int, Future[tuple[T, float]]] = {}
        self._made_s = self._waited_s = 0.0
        self._taken = 0

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def take(self, step: int) -> T:
        """What a step needs. Steps are taken in order, from any one on."""
        began = time.perf_counter()
        if self._pool is None:
            made, spent = self._timed(step)
        else:
            for coming in range(step, min(self._steps, step + self._depth + 1)):
                if coming not in self._coming:
                    self._coming[coming] = self._pool.submit(self._timed, coming)
            made, spent = self._coming.pop(step).result()
        self._made_s += spent
        self._waited_s += time.perf_counter() - began
        self._taken += 1
        return made

    def times(self) -> dict[str, float]:
        """Means a step since the last call, in ms: CPU time of drawing, and how long the step waited."""
        taken = max(1, self._taken)
        found = {"drawn_ms": 1e3 * self._made_s / taken, "waited_ms": 1e3 * self._waited_s / taken}
        self._made_s = self._waited_s = 0.0
        self._taken = 0
        return found

    def _timed(self, step: int) -> tuple[T, float]:
        began = time.thread_time()
        made = self._make(step)
        return made, time.thread_time() - began
