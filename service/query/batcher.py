"""Micro-batching on one worker thread: take what is queued, never wait for more.

On a CPU a batch is little faster than its members one by one, so waiting for more jobs costs more than it
gains. Jobs that queued up while the thread was busy are batched at no cost.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Generic, TypeVar

from service.errors import Overloaded

log = logging.getLogger("mrse.encode")

J = TypeVar("J")
R = TypeVar("R")


class MicroBatcher(Generic[J, R]):
    """Runs jobs of one event loop in batches on its own thread.

    A job whose future was cancelled before its turn is dropped. When a batch of several fails, its members
    run again one by one, so that a job that breaks its batch fails alone.

    Args:
        work: results for jobs, aligned; runs on the thread.
        max_batch: jobs taken at once.
        queue: jobs that may wait.
        name: of the thread.
    """

    def __init__(self, work: Callable[[list[J]], list[R]], *, max_batch: int, queue: int, name: str) -> None:
        self._work = work
        self._max_batch = max_batch
        self._limit = queue
        self._queue: SimpleQueue[tuple[J, asyncio.Future[R]] | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Jobs that wait."""
        return self._queue.qsize()

    async def submit(self, job: J) -> R:
        """The result of a job; cancelling the caller drops the job if it has not started.

        Raises:
            Overloaded: too many jobs wait, or the batcher is closed.
        """
        if self._closed or self._queue.qsize() >= self._limit:
            raise Overloaded("too many queries wait to be encoded")
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._queue.put((job, future))
        return await future

    def close(self) -> None:
        """Finish what waits and end the thread."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join()

    def _serve(self) -> None:
        while True:
            entry = self._queue.get()
            batch: list[tuple[J, asyncio.Future[R]]] = []
            while entry is not None:
                if not entry[1].cancelled():
                    batch.append(entry)
                if len(batch) >= self._max_batch or self._queue.empty():
                    break
                entry = self._queue.get()
            if batch:
                self._run(batch)
            if entry is None:
                return

    def _run(self, batch: list[tuple[J, asyncio.Future[R]]]) -> None:
        results: Sequence[R | Exception]
        try:
            results = self._work([job for job, _ in batch])
        except Exception as error:
            if len(batch) > 1:
                log.warning("a batch of %d failed, running it one by one", len(batch), exc_info=error)
                for entry in batch:
                    self._run([entry])
                return
            results = [error]
        futures = [future for _, future in batch]
        try:  # all results with one wake-up
            futures[0].get_loop().call_soon_threadsafe(_resolve, futures, results)
        except RuntimeError:
            log.debug("the event loop is closed, results dropped")


def _resolve(futures: list[asyncio.Future[R]], results: Sequence[R | Exception]) -> None:
    for future, result in zip(futures, results, strict=True):
        if not future.done():
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
