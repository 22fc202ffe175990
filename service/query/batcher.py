"""Micro-batching on one worker thread: take what is queued, never wait for more.

On a CPU a batch is little faster than its members one by one, so waiting for more jobs costs more than it
gains. Jobs that queued up while the thread was busy are batched at no cost.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, NamedTuple, TypeVar

from service.errors import Overloaded

log = logging.getLogger("mrse.encode")

J = TypeVar("J")
R = TypeVar("R")


class _Entry(NamedTuple, Generic[J, R]):
    job: J
    future: asyncio.Future[R]


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

    def __init__(
        self,
        work: Callable[[list[J]], list[R]],
        *,
        max_batch: int,
        queue: int,
        name: str,
    ) -> None:
        self._work = work
        self._max_batch = max_batch
        self._limit = queue
        self._queue: SimpleQueue[_Entry[J, R] | None] = SimpleQueue()
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
        self._queue.put(_Entry(job, future))
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
            batch: list[_Entry[J, R]] = []
            while entry is not None:
                if not entry.future.cancelled():
                    batch.append(entry)
                if len(batch) >= self._max_batch or self._queue.empty():
                    break
                entry = self._queue.get()
            if batch:
                self._run(batch)
            if entry is None:
                return

    def _run(self, batch: list[_Entry[J, R]]) -> None:
        try:
            results = self._work([entry.job for entry in batch])
        except Exception as error:
            if len(batch) == 1:
                failed: list[_Outcome[R]] = [(batch[0].future, None, error)]
                _deliver(failed)
                return
            log.warning("a batch of %d failed, running it one by one", len(batch), exc_info=error)
            for entry in batch:
                self._run([entry])
            return
        _deliver([(entry.future, result, None) for entry, result in zip(batch, results, strict=True)])


_Outcome = tuple[asyncio.Future[R], R | None, Exception | None]


def _deliver(outcomes: list[_Outcome[R]]) -> None:
    """Hand results over to the event loop, all with one wake-up."""
    try:
        outcomes[0][0].get_loop().call_soon_threadsafe(_resolve, outcomes)
    except RuntimeError:
        log.debug("the event loop is closed, results dropped")


def _resolve(outcomes: list[_Outcome[R]]) -> None:
    for future, result, error in outcomes:
        if future.done():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # a result wherever there is no error
