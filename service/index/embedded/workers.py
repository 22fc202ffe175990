"""Worker threads for searches: bounded, within a deadline, abandoned when the request is gone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from service.deadline import Deadline
from service.index.port import IndexUnavailable

T = TypeVar("T")

#: Called by a job before each of its steps with the rows that it is about to score; raises to stop it.
Step = Callable[[int], None]


def unhindered(rows: int) -> None:
    """The `Step` of a job that may go on."""


class TooMuch(Exception):  # noqa: N818 -- a verdict on a search
    """A search would score more rows than it may."""


class Budget:
    """The `Step` of a job that may score so many rows until a deadline."""

    __slots__ = ("_deadline", "_left")

    def __init__(self, rows: int, deadline: Deadline) -> None:
        self._left = rows
        self._deadline = deadline

    def __call__(self, rows: int) -> None:
        """Take rows off.

        Raises:
            TooMuch: so many are not left.
            IndexUnavailable: ``timeout``.
        """
        if self._deadline.passed:
            raise IndexUnavailable("timeout")
        self._left -= rows
        if self._left < 0:
            raise TooMuch


class Workers:
    """A thread pool whose queue is bounded."""

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
        self._check_open()
        if deadline.passed:
            raise IndexUnavailable("timeout")
        if not self._slots.acquire(blocking=False):
            raise IndexUnavailable("overloaded", "the queue for index searches is full")
        abandoned = threading.Event()

        def step(rows: int) -> None:
            self._check_open()
            if abandoned.is_set() or deadline.passed:
                raise IndexUnavailable("timeout")

        def guarded() -> T:
            step(0)
            return job(step)

        future = self._submit(guarded)
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

    def _submit(self, job: Callable[[], Any]) -> Future[Any]:
        try:
            return self._pool.submit(job)
        except RuntimeError as error:  # the pool was shut down since the check above
            self._slots.release()
            raise IndexUnavailable("closed") from error

    def _check_open(self) -> None:
        if self._closed:
            raise IndexUnavailable("closed")
