"""Worker threads for searches: bounded, within a deadline, abandoned when the request is gone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from common.deadline import Deadline
from common.lru import Lru
from index.filters import Filter
from index.port import IndexUnavailable

T = TypeVar("T")

#: A job calls it before each of its steps, with the rows that it will score; it raises to stop the job.
Step = Callable[[int], None]


def unhindered(rows: int) -> None:
    """The `Step` of a job that may go on."""


class TooMuch(Exception):  # noqa: N818 -- a verdict on a search
    """A search would score more rows than it may."""


def limited(rows: int, deadline: Deadline) -> Step:
    """The `Step` of a job that may score so many rows until a deadline; else `TooMuch` or ``timeout``."""
    left = rows

    def step(rows: int) -> None:
        nonlocal left
        if deadline.passed:
            raise IndexUnavailable("timeout")
        left -= rows
        if left < 0:
            raise TooMuch

    return step


class Overruns:
    """The filters whose searches are too much for the event loop, so that none is begun there in vain.

    A filter is one of them from the second such search in succession on, until one was not too much: a
    single one may have been an unusual query, or may have been the one that worked out the filter's rows.
    """

    def __init__(self, filters: int = 1024) -> None:
        #: How many such searches in succession, by the filter's key.
        self._counts: Lru[bytes, int] = Lru(filters)

    def __contains__(self, accepted: Filter | None) -> bool:
        return (self._counts.get(_key(accepted)) or 0) > 1

    def note(self, accepted: Filter | None, too_much: bool) -> None:
        """Whether a search with a filter was too much."""
        before = self._counts.get(_key(accepted)) or 0
        if too_much or before:
            self._counts.put(_key(accepted), before + 1 if too_much else 0)


def _key(accepted: Filter | None) -> bytes:
    return b"" if accepted is None else accepted.key


class Workers:
    """A thread pool whose queue is bounded. For one event loop."""

    def __init__(self, threads: int, queue: int, initializer: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="index", initializer=initializer)
        #: Slots for jobs that run or wait; a job gives its slot back when its thread is done with it,
        #: not when its request is, so that abandoned work counts for as long as it costs.
        self._slots = threading.BoundedSemaphore(threads + queue)
        self._closed = False

    async def run(self, job: Callable[[Step], T], deadline: Deadline) -> T:
        """Run a job in a thread.

        Raises:
            IndexUnavailable: ``timeout``, ``overloaded`` or ``closed``.
        """
        self.check_open()
        if deadline.passed:
            raise IndexUnavailable("timeout")
        if not self._slots.acquire(blocking=False):
            raise IndexUnavailable("overloaded", "the queue for index searches is full")
        abandoned = threading.Event()

        def step(rows: int) -> None:
            self.check_open()
            if abandoned.is_set() or deadline.passed:
                raise IndexUnavailable("timeout")

        def guarded() -> T:
            step(0)
            return job(step)

        future = self._pool.submit(guarded)
        future.add_done_callback(lambda _: self._slots.release())
        try:
            async with asyncio.timeout(deadline.remaining()):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise IndexUnavailable("timeout") from None
        finally:
            abandoned.set()

    async def close(self) -> None:
        """Stop; waits for the steps that threads are in. Jobs still waiting fail with ``closed``."""
        self._closed = True
        await asyncio.to_thread(self._pool.shutdown)

    def check_open(self) -> None:
        """Raise `IndexUnavailable` ``closed`` after `close`."""
        if self._closed:
            raise IndexUnavailable("closed")
